"""The coordinator's key enters a contract without touching anything else in it."""

from pathlib import Path

import pytest

from server.deployment.contract import with_key
from shared_model import signing
from shared_model.errors import ConfigError
from tests.server.deployment.markets import CONTRACT, written_contract

KEY = signing.public_key(signing.new_key())
LINE = f'coordinator_key = "{KEY}"  # who signs every instruction\n'


def test_the_key_follows_the_header_and_all_else_stays(tmp_path: Path) -> None:
    text, federation = with_key(written_contract(tmp_path), KEY)
    header = "[federation]  # who and how long\n"
    assert text == CONTRACT.replace(header, header + LINE)
    assert federation.federation.coordinator_key == KEY


def test_a_header_inside_a_text_is_not_the_header(tmp_path: Path) -> None:
    tricky = CONTRACT.replace(
        "# What", 'bottom.architecture = "wide"\n[tasks.mood]\nkind = "multiclass"\nclasses = ["a", """\n'
        '[federation]\n"""]\n# What'
    ).replace('[bottom]\narchitecture = "wide"\n', "")  # fmt: skip
    text, federation = with_key(written_contract(tmp_path, tricky), KEY)
    assert federation.federation.coordinator_key == KEY
    assert text.replace(LINE, "") == tricky


def test_a_contract_that_has_this_key_stays_as_it_is(tmp_path: Path) -> None:
    text, _ = with_key(written_contract(tmp_path), KEY)
    assert with_key(written_contract(tmp_path, text), KEY)[0] == text


def test_a_contract_of_another_coordinator_is_refused(tmp_path: Path) -> None:
    text, _ = with_key(written_contract(tmp_path), KEY)
    other = signing.public_key(signing.new_key())
    with pytest.raises(ConfigError, match="--key"):
        with_key(written_contract(tmp_path, text), other)


def test_a_contract_without_a_line_for_the_table_is_refused(tmp_path: Path) -> None:
    dotted = CONTRACT.replace(
        '[federation]  # who and how long\nname = "harbour"\nrounds = 3',
        'federation.name = "harbour"\nfederation.rounds = 3',
    )
    with pytest.raises(ConfigError, match=r"a line \[federation\]"):
        with_key(written_contract(tmp_path, dotted), KEY)


def test_a_contract_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rounds"):
        with_key(written_contract(tmp_path, CONTRACT.replace("rounds = 3", "rounds = 0")), KEY)
