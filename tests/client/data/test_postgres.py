"""A shop in a real PostgreSQL, started for the test from the binaries of the system."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest

from client.data.sources import pieces
from tests.client.exports import contract, dataset, write_merchant


def binaries() -> Path | None:
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(on_path).parent if on_path else installed[-1].parent if installed else None


FOUND = binaries()
pytestmark = pytest.mark.skipif(
    FOUND is None, reason="PostgreSQL's initdb is neither on PATH nor in /usr/lib/postgresql"
)
ORDERS = """
create table orders (
    id bigint, placed timestamptz, sku text, qty integer, price numeric(10, 2), customer uuid,
    delivered timestamp, promised date
)
"""
FILL = """
insert into orders
select n, timestamptz '2024-01-01 12:00+00' + n * interval '1 day', 'sku' || n % 3, 1 + n % 2, 9.99 + n,
       md5((n % 5)::text)::uuid, timestamp '2024-01-04 12:00' + n * interval '1 day',
       date '2024-01-06' + n::integer
from generate_series(0, 119) as n
"""


def as_postgres(*command: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start a server that listens on a Unix socket alone; yield the socket's folder."""
    # A socket's path may have at most 107 characters, and user postgres must reach it.
    folder = Path(subprocess.check_output(as_postgres("mktemp", "-d"), text=True).strip())
    assert FOUND is not None
    start = ["start", "-w", "-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses='' -c fsync=off"]
    run = {"check": True, "capture_output": True, "cwd": "/"}
    subprocess.run(as_postgres(f"{FOUND}/initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "shop"), **run)
    subprocess.run(as_postgres(f"{FOUND}/pg_ctl", "-D", f"{folder}/data", *start), **run)
    try:
        with psycopg.connect(f"host={folder} user=shop dbname=postgres") as connection:
            connection.execute(ORDERS)
            connection.execute(FILL)
        yield str(folder)
    finally:
        subprocess.run(
            as_postgres(f"{FOUND}/pg_ctl", "-D", f"{folder}/data", "stop", "-m", "immediate"), **run
        )
        shutil.rmtree(folder, ignore_errors=True)


def url(server: str) -> str:
    return f"postgresql+psycopg://shop:${{SHOP_PASSWORD}}@/postgres?host={server}"


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "p@ss/word")


def test_numeric_uuid_and_time_columns_arrive(server: str) -> None:
    (piece,) = pieces(url(server), "select price, customer, placed from orders order by id limit 1")
    assert piece.frame["price"].to_list() == [9.99]
    assert piece.frame["customer"].dtype == pl.String
    assert str(piece.frame["placed"][0]).startswith("2024-01-01 12:00:00+00:00")


def test_rows_are_streamed(server: str) -> None:
    found = list(pieces(url(server), "select id from orders order by id", rows=50))
    assert [len(piece.frame) for piece in found] == [50, 50, 20]


def test_a_percent_sign_and_a_cast_are_just_sql(server: str) -> None:
    (piece,) = pieces(
        url(server), "select count(*)::int as n from orders where sku like 'sku%' and id % 2 = 0"
    )
    assert piece.frame["n"].to_list() == [60]


def test_a_shop_is_prepared_straight_from_the_database(server: str, tmp_path: Path) -> None:
    query = (
        "select id as order_id, placed as order_ts, sku as item_id, qty as quantity, price as unit_price, "
        "customer as customer_id, delivered as delivered_ts, promised as promised_ts from orders"
    )
    path = write_merchant(tmp_path, orders={"source": url(server), "query": query})
    made = dataset(path, contract())
    assert len(made) == 120
    assert len(set(made.unit.tolist())) == 5
    # Delivered after exactly 3 days, promised for midnight 4.5 days after the order: never late.
    assert made.batch(made.rows("train", task="late")).labels["late"].sum() == 0
