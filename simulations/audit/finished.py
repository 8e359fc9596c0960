"""Audit a finished run, or one merchant's folder: what its ledgers say, recomputed, against the contract.

A ledger is a merchant's own record. Its chain shows edits; its arithmetic is done again, by accountants that
share no code; and where the coordinator's record of replies lies beside, every reply must have its charge.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from client.config import load_merchant
from client.private.ledgers import LEDGER
from server.wire_record import RECORD
from shared_model import journal, schema
from shared_model.errors import DataError, StateError
from shared_model.privacy import accounting, limits
from shared_model.privacy.events import PrivacyEvent, composed
from shared_model.privacy.ledger import Charge, Limit, read_entries
from shared_model.privacy.words import missing

from .certificates.claim import DISAGREEMENT
from .findings import Finding
from .found import Found
from .ledger_terms import MERCHANTS_LEDGER, Terms, of_merchants, of_shoppers
from .payments import Payments
from .questions import about_run
from .report import Report, Section, curve, environment
from .wire import contract_of

_LEDGERS = (LEDGER, "simulated-*.jsonl", MERCHANTS_LEDGER)


def audit_run(
    directory: Path, contract: Path | None, *, command: str, progress: Callable[[str], None]
) -> Report:
    """Return the audit of every ledger in `directory` and below it.

    Args:
        directory: Of a run, or of one merchant.
        contract: By default the nearest `federation.toml` at the ledgers or above them.
        command: That repeats the audit.
        progress: Told of every ledger.

    Raises:
        DataError: There is no ledger.
        ConfigError: There is no contract, or it has no privacy.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: there is no such directory; give that of a run, or a merchant's.")
    paths = sorted(path for pattern in _LEDGERS for path in directory.rglob(pattern))
    if not paths:
        raise DataError(f"{directory}: no ledger in it or below it. A run without privacy has none.")
    file = contract or contract_of(paths[0])
    federation = schema.load_federation(file)
    if federation.privacy is None:
        raise missing(file, "no budget to audit")
    ledgers = [_read(path, federation) for path in paths]
    sections = []
    for ledger in ledgers:
        progress(str(ledger.path.relative_to(directory)))
        terms = _terms(ledger, federation, federation.privacy)
        sections.append(_section(ledger, directory, federation, terms))
    sections += [_replies(record, directory, ledgers, federation.privacy) for record in _records(directory)]
    charges = sum(len(ledger.charges) for ledger in ledgers)
    simulated = any(path.name.startswith("simulated-") for path in paths)
    return Report(
        kind="run",
        name=federation.federation.name,
        fingerprint=federation.fingerprint,
        command=command,
        seed=0,
        sections=tuple(sections),
        questions=about_run(len(ledgers), charges, simulated),
        environment=environment(),
    )


def _read(path: Path, federation: schema.Federation) -> Found:
    files = [folder / "merchant.toml" for folder in list(path.absolute().parents)[:3]]
    owner = next((load_merchant(file, federation) for file in files if file.exists()), None)
    try:
        return Found(path=path, entries=read_entries(path), problem="", owner=owner)
    except StateError as error:
        return Found(path=path, entries=None, problem=str(error), owner=owner)


def _section(ledger: Found, directory: Path, federation: schema.Federation, terms: Terms) -> Section:
    mine = [charge for charge in ledger.charges if charge.fingerprint == federation.fingerprint]
    events = composed(event for charge in mine for event in charge.events)
    findings = [_chain(ledger)]
    if ledger.entries is not None:
        findings += [
            *_arithmetic(events, mine, federation, terms),
            *_plan(mine, federation, terms),
            *_cap(ledger, terms),
        ]
    return Section(
        title=f"Ledger {ledger.path.relative_to(directory)}",
        claim={
            "of": terms.who,
            "unit": terms.unit,
            "charges": len(mine),
            "charges under other contracts": len(ledger.charges) - len(mine),
            "head": ledger.entries[-1].head if ledger.entries else "",
            "epsilon spent": accounting.epsilon(events, terms.delta),
            "epsilon of the contract": terms.epsilon,
            "delta": terms.delta,
        },
        epsilon=terms.epsilon,
        delta=terms.delta,
        curve=curve(events),
        findings=tuple(findings),
    )


def _terms(ledger: Found, federation: schema.Federation, policy: schema.Privacy) -> Terms:
    if ledger.path.name == MERCHANTS_LEDGER and policy.merchants is not None:
        return of_merchants(federation, policy.merchants)
    return of_shoppers(federation, policy, ledger.owner)


def _chain(ledger: Found) -> Finding:
    return Finding(
        name="ledger.chain",
        value=float(ledger.entries is None),
        high=0.0,
        says=ledger.problem or "Lines that do not follow from the line before.",
    )


def _arithmetic(
    events: tuple[PrivacyEvent, ...], charges: Sequence[Charge], federation: schema.Federation, terms: Terms
) -> Iterator[Finding]:
    yield Finding(
        name="ledger.epsilon",
        value=limits.spent(charges, Limit(terms.epsilon, terms.delta, federation.fingerprint)),
        high=terms.epsilon,
        says="Epsilon spent under the contract, as the ledger counts it, against the contract's.",
    )
    if events:
        plain, other = accounting.epsilon(events, terms.delta), _others(events, terms.delta)
        yield Finding(
            name="ledger.renyi",
            value=other["opacus-rdp"] - plain,
            low=-DISAGREEMENT,
            says="By how much Opacus's Renyi accountant, a looser bound, says more.",
        )
        yield Finding(
            name="ledger.numerical",
            value=other["opacus-prv"] - plain,
            low=-DISAGREEMENT,
            high=DISAGREEMENT + 0.01 * plain,
            says="By how much Opacus's numerical accountant says more.",
        )


@cache
def _others(events: tuple[PrivacyEvent, ...], delta: float) -> Mapping[str, float]:
    return accounting.cross_check(events, delta)


def _plan(charges: Sequence[Charge], federation: schema.Federation, terms: Terms) -> Iterator[Finding]:
    yield Finding(
        name="ledger.plan",
        value=float(sum((charge.what, charge.events) not in terms.planned for charge in charges)),
        high=0.0,
        says=f"Charges that are not what the contract plans for {terms.who}.",
    )
    yield Finding(
        name="ledger.rounds",
        value=float(max((charge.round for charge in charges), default=0)),
        high=float(federation.federation.rounds),
        says="The last round that was charged, against the number that the contract plans.",
    )
    yield Finding(
        name="ledger.unit",
        value=float(sum(charge.unit != terms.unit for charge in charges)),
        high=0.0,
        says=f"Charges for another unit than the contract's, a {terms.unit}.",
    )


def _cap(ledger: Found, terms: Terms) -> Iterator[Finding]:
    if terms.cap is not None:
        yield Finding(
            name="ledger.cap",
            value=limits.spent(ledger.charges, Limit(terms.cap, terms.delta)),
            high=terms.cap,
            says="Epsilon spent under all contracts, against the merchant's own cap.",
        )


def _records(directory: Path) -> list[Path]:
    return sorted(directory.rglob(RECORD))


def _replies(record: Path, directory: Path, ledgers: Sequence[Found], policy: schema.Privacy) -> Section:
    """Hold the replies that reached the coordinator against the charges: one each, for that very round."""
    lines = [line for line in journal.read(record) if line["event"] == "reply"]
    told = [line for line in lines if any(r["kind"] == "arrays" for r in line["records"].values())]
    paid = Payments(ledgers)
    free = [line for line in told if not paid.covers(line)]
    return Section(
        title=f"Replies in {record.relative_to(directory)}",
        claim={"replies": len(lines), "replies that released something": len(told)},
        epsilon=policy.epsilon,
        delta=policy.delta,
        curve=None,
        findings=(
            Finding(
                name="replies.charged",
                value=float(len(free)),
                high=0.0,
                says="Replies without a charge of their own, of that round, in the ledger of that merchant.",
            ),
        ),
    )
