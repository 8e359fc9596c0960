import json
from datetime import UTC, datetime

import pytest

from shared_model import signing
from shared_model.errors import ConfigError, StateError
from simulations.audit import signed
from tests.simulations.audit.reports import report

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def written(tmp_path):
    signed.write(tmp_path / "a.json", report(), key=signed.key_at(tmp_path / "key.pem"), made=NOON)
    return tmp_path / "a.json"


def edited(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def test_what_was_signed_is_read_back(written):
    assert signed.read(written)["verdict"] == "holds"


def test_an_edited_number_is_noticed(written):
    content = json.loads(written.read_text())
    content["report"]["sections"][0]["bounds"][0]["epsilon"] = 1.0
    edited(written, report=content["report"])
    with pytest.raises(StateError, match="signature"):
        signed.read(written)


def test_another_date_is_noticed(written):
    edited(written, made="2026-01-02T12:00:00+00:00")
    with pytest.raises(StateError, match="signature"):
        signed.read(written)


def test_another_auditor_is_noticed_where_the_key_is_known(written):
    with pytest.raises(StateError, match="signature"):
        signed.read(written, key=signing.public_key(signing.new_key()))


def test_the_right_auditor_is_recognised(written, tmp_path):
    public = signing.public_key((tmp_path / "key.pem").read_bytes())
    assert signed.read(written, key=public)["name"] == "town"


def test_a_file_that_is_no_report_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(StateError, match="not a signed report"):
        signed.read(tmp_path / "a.json")


def test_a_file_that_is_missing_is_said_to_be_missing(tmp_path):
    with pytest.raises(StateError, match="there is no such file"):
        signed.read(tmp_path / "a.json")


def test_a_key_that_is_none_is_named(written):
    with pytest.raises(ConfigError, match="--key is 'bla'"):
        signed.read(written, key="bla")


def test_a_new_key_is_for_its_owner_alone_and_stays(tmp_path):
    path = tmp_path / "keys" / "auditor.pem"
    first = signed.key_at(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert signed.key_at(path) == first
