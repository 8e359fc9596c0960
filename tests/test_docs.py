"""Documents that cannot rot: their examples, commands, links and the tests that they name are real."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from client import merchant_file
from server.deployment.market import Settings
from server.enrolment import Members
from shared_model.schema import Federation, parse_federation
from simulations.experiment import Experiment
from simulations.scale.plan import File as ScaleFile
from simulations.schedule.plan import File as ScheduleFile
from simulations.sweep.plan import File as SweepFile
from tests import cli_reference

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PACKAGES = ("client", "server", "shared_model", "simulations")
RECORDS = sorted((DOCS / "adr").glob("*.md"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- examples -----------------------------------------------------------------------------------------

Block = tuple[str, str, bool]
"""Page, content, whether it is marked as a fragment."""

ROOTS: dict[str, type] = {
    "federation": Federation,
    "schema": merchant_file.MerchantFile,
    "experiment": Experiment,
    "members": Members,
    "address": Settings,
    "sweep": SweepFile,
    "schedule": ScheduleFile,
    "scale": ScaleFile,
}
"""What only a whole file of a kind begins with -> that kind."""


def toml_blocks() -> Iterator[Block]:
    for page in PAGES:
        for mark, content in re.findall(
            r"^```toml( fragment)?\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE
        ):
            yield named(page), content, bool(mark)


def problems(declared: type, tables: dict[str, Any]) -> list[Any]:
    try:
        TypeAdapter(declared).validate_json(to_json(tables))
    except ValidationError as error:
        return error.errors()
    return []


def problems_of_a_part(tables: dict[str, Any]) -> list[Any]:
    """What is wrong with tables of one file, in the kind that they fit best; missing ones do not count."""
    found = [[p for p in problems(kind, tables) if p["type"] != "missing"] for kind in ROOTS.values()]
    return min(found, key=len)


BLOCKS = list(toml_blocks())
WHOLE = [block for block in BLOCKS if not block[2] and set(ROOTS) & set(tomllib.loads(block[1]))]
PARTS = [block for block in BLOCKS if block not in WHOLE]


def block_id(block: Block) -> str:
    return f"{block[0]}:{block[1].strip().splitlines()[0]}"


@pytest.mark.parametrize("block", WHOLE, ids=block_id)
def test_a_whole_file_in_a_document_is_valid(block: Block) -> None:
    tables = tomllib.loads(block[1])
    kind = next(kind for key, kind in ROOTS.items() if key in tables)
    assert problems(kind, tables) == []


@pytest.mark.parametrize(
    "block", [block for block in WHOLE if "federation" in tomllib.loads(block[1])], ids=block_id
)
def test_a_whole_contract_in_a_document_makes_sense(block: Block) -> None:
    assert parse_federation(tomllib.loads(block[1])).fingerprint


@pytest.mark.parametrize("block", PARTS, ids=block_id)
def test_a_part_of_a_file_in_a_document_is_valid_as_far_as_it_goes(block: Block) -> None:
    assert problems_of_a_part(tomllib.loads(block[1])) == []


# --- commands -----------------------------------------------------------------------------------------

COMMANDS = cli_reference.commands()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_every_command_and_all_that_may_stand_behind_it_has_help(command: click.Command) -> None:
    assert command.help
    assert [p.name for p in cli_reference.parameters(command) if not p.meaning] == []


def test_the_page_of_commands_is_what_they_say() -> None:
    """Make it anew with `python -m tests.cli_reference > docs/cli.md`."""
    assert text_of(DOCS / "cli.md") == cli_reference.reference()


# --- files, links and tests that documents name -------------------------------------------------------

_CODE_PATH = r"`((?:client|server|shared_model|simulations|tests|docs)/[\w./-]+)"


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
            if not re.match(r"[a-z]+:", target):
                yield named(page), target


def anchors(page: Path) -> set[str]:
    """Headings of a page as they are linked to: small letters and digits, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), sorted(set(links())))
def test_a_relative_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    leads_to = (ROOT / page).parent / path if path else ROOT / page
    assert leads_to.exists()
    assert not anchor or anchor in anchors(leads_to)


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
NAMED_PATHS = sorted(
    {(named(page), path) for page in [*PAGES, *SOURCES] for path in re.findall(_CODE_PATH, prose_of(page))}
)


@pytest.mark.parametrize(("page", "path"), NAMED_PATHS)
def test_a_file_that_a_document_or_a_docstring_names_is_there(page: str, path: str) -> None:
    assert (ROOT / path).exists()


PITFALLS = text_of(DOCS / "pitfalls.md")
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PITFALLS)))


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_a_test_that_holds_a_promise_exists(file: str, test: str) -> None:
    assert f"def {test}(" in text_of(ROOT / file)


def test_every_pitfall_has_a_severity() -> None:
    entries = re.split(r"^### ", PITFALLS, flags=re.MULTILINE)[1:]
    said = [re.search(r"^\*\*Severity: (high|medium|low)\.\*\*", entry, re.MULTILINE) for entry in entries]
    assert entries
    assert all(said)


# --- records and glossary -----------------------------------------------------------------------------


def test_no_two_decision_records_share_a_number() -> None:
    numbers = Counter(record.name.split("-")[0] for record in RECORDS)
    assert [number for number, count in numbers.items() if count > 1] == []


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_decision_record_begins_with_its_number(record: Path) -> None:
    assert text_of(record).startswith(f"# {int(record.name.split('-')[0])}. ")


def test_the_glossary_has_one_line_a_word_in_order() -> None:
    entries = re.findall(r"^\* \*\*([^*]+)\*\*: .+\.$", text_of(DOCS / "glossary.md"), re.MULTILINE)
    assert entries
    assert entries == sorted(entries, key=str.lower)
