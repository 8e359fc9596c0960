"""Files, globs and databases; every fault names the source and says what to do."""

import gzip
import logging
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from client.data.sources import pieces
from shared_model.errors import DataError


def read(source: Path | str, query: str = "") -> pl.DataFrame:
    return pl.concat([piece.frame for piece in pieces(str(source), query)], how="diagonal_relaxed")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_read_from_the_header(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "a.csv", separator.join("ab") + "\n" + separator.join("12") + "\n")
    assert read(path).rows() == [("1", "2")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "\ufeffa,b\n1,2\n")).columns == ["a", "b"]


def test_a_csv_file_may_be_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"a,b\n1,2\n"))
    assert read(path).rows() == [("1", "2")]


def test_a_glob_reads_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "orders_2.csv", "a\n2\n")
    write(tmp_path / "orders_1.csv", "a\n1\n")
    assert read(tmp_path / "orders_*.csv")["a"].to_list() == ["1", "2"]


def test_a_row_is_named_by_its_file_and_its_position_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a\n" + "1\n" * 5)
    assert [piece.where(0) for piece in pieces(str(path))] == ["row 1 of a.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"a,b\n", "holds no rows"),
        ("a.csv", b"a,b\n1,2\n3,\xe9t\xe9\n", r"line 3 is not UTF-8.*iconv"),
        ("a.csv", b"\xe9t\xe9,b\n1,2\n", r"line 1 is not UTF-8"),
        ("a.csv", b"a,b\n1,2,3\n", "as many values as the header"),
        ("a.parquet", b"not parquet at all", "not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_an_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame(schema={"a": pl.Int64}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        read(tmp_path / "a.parquet")


def test_a_pattern_without_a_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read(tmp_path / "orders_*.csv")


# --- databases ----------------------------------------------------------------------------------------


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table sales (id integer, price real, name text, mixed)")
        database.executemany(
            "insert into sales values (?, ?, ?, ?)",
            [(1, 2.5, "mug", 1), (2, None, None, "two"), (3, 4.0, "pot", 3)],
        )
    database.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_a_query_keeps_the_types_of_the_database(sqlite: str) -> None:
    found = read(sqlite, "select id, price, name from sales order by id")
    assert found.rows() == [(1, 2.5, "mug"), (2, None, None), (3, 4.0, "pot")]


def test_a_column_of_mixed_types_is_text(sqlite: str) -> None:
    assert read(sqlite, "select mixed from sales order by id")["mixed"].to_list() == ["1", "two", "3"]


def test_a_query_comes_in_pieces(sqlite: str) -> None:
    found = list(pieces(sqlite, "select id from sales order by id", rows=2))
    assert [(piece.first_row, len(piece.frame)) for piece in found] == [(0, 2), (2, 1)]


def test_a_query_without_rows_is_refused(sqlite: str) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        read(sqlite, "select * from sales where id > 10")


def test_a_wrong_query_says_what_the_database_says(sqlite: str) -> None:
    with pytest.raises(DataError, match="no such table: stock"):
        read(sqlite, "select * from stock")


def test_a_colon_in_a_query_is_no_parameter(sqlite: str) -> None:
    assert read(sqlite, "select ':id, 12:30' as note").rows() == [(":id, 12:30",)]


def test_a_query_cannot_change_the_shop(sqlite: str) -> None:
    with pytest.raises(DataError):
        read(sqlite, "delete from sales")
    assert len(read(sqlite, "select * from sales")) == 3


def test_an_unknown_driver_is_named_without_the_password() -> None:
    with pytest.raises(DataError, match="nosuch") as caught:
        read("nosuch://shop:hunter2@db/shop", "select 1")
    assert "hunter2" not in str(caught.value)


def test_an_environment_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(DataError, match="SHOP_PASSWORD is not set"):
        read("postgresql+psycopg://shop:${SHOP_PASSWORD}@localhost/shop", "select 1")


def test_a_server_that_does_not_answer_leaks_no_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter@2")
    with caplog.at_level(logging.DEBUG), pytest.raises(DataError, match="the query failed") as caught:
        read(f"postgresql+psycopg://shop:${{SHOP_PASSWORD}}@/shop?host={tmp_path}", "select 1")
    assert "hunter" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_only_what_is_asked_for_is_read(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"a": ["1", "2", "3"], "b": ["x", "y", "z"]})
    (frame.write_csv if name.endswith("csv") else frame.write_parquet)(tmp_path / name)
    made = list(
        pieces(str(tmp_path / name), rows=2, select=lambda source, columns: {"c": pl.col(columns[0])})
    )
    assert pl.concat([piece.frame for piece in made]).to_dict(as_series=False) == {"c": ["1", "2", "3"]}
