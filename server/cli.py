"""The coordinator's command, `fedbazaar-server`."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from shared_model import command_line
from shared_model.errors import StateError
from shared_model.schema import Federation, Role, load_federation

app = typer.Typer(
    help="Run a federation: agree, train, report.", no_args_is_help=True, pretty_exceptions_enable=False
)


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.", file_okay=False)]
WaitMembers = Annotated[
    int | None,
    typer.Option(min=1, help="Members to wait for before a round; by default the quorum of all that train."),
]
WaitSeconds = Annotated[
    float, typer.Option(min=0, help="How long to wait for the SuperLink, and then for the members.")
]


@app.callback()
def _commands() -> None:
    """Run a federation: agree, train, report."""


@app.command()
def check(
    contract: Annotated[Path, typer.Argument(help="The federation.toml to check.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Validate a contract and say what it means: fingerprint, model, traffic, rounds."""
    facts = described(load_federation(contract))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        Console(emoji=False).print(_table(facts))


@app.command()
def plan(
    contract: Annotated[
        Path | None, typer.Argument(help="The federation.toml to plan; without one, calculate from options.")
    ] = None,
    merchants: Annotated[int, typer.Option(min=1, help="Assumed number of merchants that train.")] = 20,
    shoppers: Annotated[
        int | None,
        typer.Option(min=1, help="Assumed shoppers of the smallest of them; by default the tier's least."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(min=1e-3, help="Budget of a shopper, without a contract; smaller is stricter."),
    ] = None,
    delta: Annotated[
        float,
        typer.Option(min=1e-15, max=0.5, help="Chance that the bound is broken, without a contract."),
    ] = 1e-6,
    rounds: Annotated[int, typer.Option(min=1, help="R, without a contract.")] = 60,
    local_steps: Annotated[int, typer.Option(min=1, help="K, without a contract.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="B, without a contract.")] = 256,
    smallest: Annotated[
        int | None,
        typer.Option(min=1, help="Shoppers of the smallest merchant; without it every step takes all."),
    ] = None,
    cross_check: Annotated[
        bool, typer.Option(help="Ask Opacus's accountants too, which takes seconds.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Turn a privacy budget into noise, and say what the noise costs."""
    from shared_model.privacy.words import missing

    from . import planning
    from .planning import table

    if contract is not None:
        assumed = planning.Assumed(merchants=merchants, shoppers=shoppers)
        federation = load_federation(contract)
        if federation.privacy is None:
            raise missing(contract, "no noise to plan")
        found = planning.planned(federation, assumed, cross_check=cross_check)
        _shown(asdict(found), table.of_contract(found), as_json)
    elif epsilon is not None:
        told = planning.calculation(
            epsilon=epsilon,
            delta=delta,
            rounds=rounds,
            local_steps=local_steps,
            batch=batch,
            smallest=smallest,
            cross_check=cross_check,
        )
        _shown(asdict(told), table.of_calculation(told), as_json)
    else:
        raise typer.BadParameter("Give a federation.toml, or --epsilon to calculate without one.")


@app.command()
def carry(
    release: Annotated[Path, typer.Argument(help="The released.safetensors of the old contract.")],
    contract: Annotated[Path, typer.Argument(help="The new federation.toml.")],
    old_contract: Annotated[
        Path | None, typer.Option(help="The old one; by default that of the release's folder.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to make; by default start.safetensors beside the new contract."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what begins anew.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Take a released model over to a new contract: features or tasks added or removed.

    Prints what is carried, what begins anew and what is dropped; `run --start` begins with the file it makes.
    """
    from . import onboarding

    old, new = load_federation(old_contract or onboarding.contract_of(release)), load_federation(contract)
    carried = onboarding.carry(onboarding.read(release, old), old, new, seed=seed)
    file = out or contract.parent / onboarding.START
    onboarding.write(file, carried, old, new)
    facts = {
        "file": str(file),
        "whole": carried.whole,
        "columns": {name: f"{some} of {all_}" for name, (some, all_) in carried.columns.items()},
        "anew": carried.anew,
        "dropped": carried.dropped,
        "privacy": onboarding.promise(old, new),
    }
    _shown(facts, _carried(facts), as_json)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made here; nothing in it is overwritten.")],
    contract: Annotated[Path, typer.Option(help="The federation.toml to found the federation on.")],
    address: Annotated[
        str, typer.Option(help="host:port under which merchants reach the coordinator.")
    ] = "localhost:8443",
    key: Annotated[Path | None, typer.Option(help="Private signing key to use instead of a new one.")] = None,
) -> None:
    """Make a coordinator's folder: keys, certificates, settings, and the invitation for merchants."""
    from .deployment import certificates, founding

    market = founding.found(folder, contract, address=address, key=key)
    federation = load_federation(market.contract)
    _say(
        f"{market.folder} is a coordinator's folder now. Publish these three; every merchant sees them too:",
        f"  contract     {federation.fingerprint}",
        f"  signing key  {federation.federation.coordinator_key}",
        f"  certificate  {certificates.fingerprint(market.ca)}",
        f"Next: give {market.invitation} to every merchant, `enroll` the node.pub that comes back, `up`.",
    )


@app.command()
def enroll(
    folder: Folder,
    public_key: Annotated[Path, typer.Argument(help="The node.pub that the merchant sent.")],
    name: Annotated[str, typer.Option(help="Under which the federation knows the merchant.")],
    tier: Annotated[
        str | None, typer.Option(help="Its size class, of the contract; not needed where there is one.")
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(help="Comma list of tasks it trains; by default all whose heads are shared."),
    ] = "",
    role: Annotated[Role, typer.Option(help="Trains, or only receives what others trained.")] = "train",
) -> None:
    """Take a merchant in: its key, its name, its tasks. Registered at once where the SuperLink is up."""
    from .deployment import market as markets
    from .deployment import members, registration, superlink

    market = markets.load(folder)
    named = [task.strip() for task in tasks.split(",") if task.strip()]
    member = members.enroll(market, public_key, name, tier=tier, tasks=named, role=role)
    _say(f"{name} is a member: tier {member.tier}, role {member.role}, tasks {', '.join(member.tasks)}.")
    if not superlink.is_up(market):
        _say("`up` will register its node.")
        return
    try:
        registration.register(market, name)
    except StateError as error:
        _say(f"Its node is not registered yet: {error} The next `up` tries again.")
    else:
        _say("Its node may connect now.")


@app.command()
def withdraw(folder: Folder, name: Annotated[str, typer.Argument(help="The member to strike off.")]) -> None:
    """Strike a member off: its node is turned away, and its key never taken again."""
    from .deployment import market as markets
    from .deployment import members, registration, superlink

    market = markets.load(folder)
    registration.forget(market, name)
    members.withdraw(market, name)
    done = superlink.is_up(market)
    if done:
        registration.reconcile(market, _say)
    _say(f"{name} is no member any more.", "" if done else "`up` will unregister its node.")


@app.command()
def renew(folder: Folder) -> None:
    """Make a new server certificate from the folder's own authority; merchants need nothing new."""
    from .deployment import certificates, founding
    from .deployment import market as markets

    market = markets.load(folder)
    founding.renew(market)
    end = certificates.expiry(market.certificate)
    _say(f"{market.certificate} is valid until {end:%Y-%m-%d}. Start `up` again to use it.")


@app.command()
def up(folder: Folder) -> None:
    """Open the market: SuperLink on loopback, the proxy before it. Runs until Ctrl-C."""
    from .deployment import market as markets
    from .deployment import starting

    starting.start(markets.load(folder), Console(emoji=False))


@app.command()
def run(
    folder: Folder,
    new: Annotated[bool, typer.Option("--new", help="Leave an unfinished run and begin another.")] = False,
    seed: Annotated[int, typer.Option(help="Of the initial model.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(help="Begin with these arrays instead: a released file of this contract, or `carry`'s."),
    ] = None,
    wait_members: WaitMembers = None,
    wait_seconds: WaitSeconds = 300.0,
) -> None:
    """Train the contract's model with the members, from the first round to the release.

    Needs `up` in another terminal, and waits for it. Ctrl-C leaves the run going.
    """
    from .deployment import market as markets
    from .deployment import running
    from .deployment.lineages import Origin

    waiting = running.Waiting(members=wait_members, seconds=wait_seconds)
    origin = Origin(seed, str(start.absolute()) if start else "")
    running.run(markets.load(folder), Console(emoji=False), new=new, origin=origin, waiting=waiting)


@app.command()
def resume(folder: Folder, wait_members: WaitMembers = None, wait_seconds: WaitSeconds = 300.0) -> None:
    """Go on with the newest unfinished run, after its last finished round; follow it where it still runs."""
    from .deployment import market as markets
    from .deployment import running

    waiting = running.Waiting(members=wait_members, seconds=wait_seconds)
    running.resume(markets.load(folder), Console(emoji=False), waiting=waiting)


@app.command()
def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say how far the training is, who is online, who was refused and why."""
    from .deployment import market as markets
    from .deployment import status as statuses

    facts = statuses.facts(markets.load(folder))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        statuses.show(facts, Console(emoji=False))


def _carried(facts: dict[str, Any]) -> Table:
    table = Table(
        title=f"{facts['file']}: what a training starts from", show_header=False, title_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    parts = [f"{name} ({columns} columns)" for name, columns in facts["columns"].items()]
    rows = {"carried": facts["whole"], "carried in part": parts, "begins anew": facts["anew"]}
    for title, names in {**rows, "dropped": facts["dropped"]}.items():
        table.add_row(title, "\n".join(names) or "nothing")
    if facts["privacy"]:
        table.add_row("privacy", facts["privacy"])
    return table


def _shown(facts: dict[str, Any], drawn: RenderableType, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        Console(emoji=False).print(drawn)


def _say(*lines: str) -> None:
    for line in filter(None, lines):
        Console(emoji=False).print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def described(federation: Federation) -> dict[str, Any]:
    """Return what a contract means, as JSON values.

    `bytes_down` and `bytes_up` are what one merchant gets and sends in a round, on average, and
    `bytes_per_round` is both (`shared_model.traffic`).
    """
    from shared_model import model, traffic

    terms = federation.federation
    shapes = {name: array.shape for name, array in model.initial_shared(federation, 0).items()}
    moved = traffic.of_mean_round(federation, shapes)
    return {
        "name": terms.name,
        "fingerprint": federation.fingerprint,
        "features": {name: feature.kind for name, feature in federation.features.items()},
        "tasks": {name: task.kind for name, task in federation.tasks.items()},
        "bottom": federation.bottom.architecture,
        "shared_parameters": sum(math.prod(shape) for shape in shapes.values()),
        "bytes_per_round": moved.of_all(1),
        "bytes_down": moved.down,
        "bytes_up": moved.up,
        "asked_in_a_round": terms.merchants_per_round or "all",
        "rounds": terms.rounds,
        "local_steps": terms.local_steps,
        "expected_batch": terms.expected_batch,
        "quorum": terms.quorum,
        "deadline_seconds": terms.deadline_seconds,
        "attempts": terms.attempts,
        "server": asdict(federation.server),
        "privacy": asdict(federation.privacy) if federation.privacy else None,
        "tiers": {name: asdict(tier) for name, tier in federation.tiers.items()},
    }


def _table(facts: dict[str, Any]) -> Table:
    table = Table(title=f"{facts['name']}: the contract is valid", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key.replace("_", " "), _ROWS.get(key, _spoken)(value))
    return table


def _spoken(value: Any) -> str:
    """Return a value of the contract in words, without the keys that it leaves out."""
    if isinstance(value, dict):
        declared = {key: inner for key, inner in value.items() if inner not in (None, {})}
        return ", ".join(f"{key} {_spoken(inner)}" for key, inner in declared.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _privacy(policy: dict[str, Any] | None) -> str:
    """Return what the contract promises, or that it promises nothing."""
    from shared_model.privacy.words import NOT_PROTECTED, meaning

    if policy is None:
        return f"none: this contract trains {NOT_PROTECTED}. No epsilon can be stated."
    promise = (
        f"each {policy['unit']} at a merchant is protected in what leaves it. "
        f"{meaning(policy['epsilon'], policy['delta'], policy['unit'])}"
    )
    return f"{promise}\n{_spoken({key: value for key, value in policy.items() if key != 'tasks'})}" + "".join(
        f"\n{name}: {_spoken(task)}" for name, task in policy["tasks"].items()
    )


def _tiers(tiers: dict[str, dict[str, Any]]) -> str:
    """Return a line per tier."""
    return "\n".join(f"{name}: {_spoken(tier)}" for name, tier in tiers.items())


_ROWS: dict[str, Callable[[Any], str]] = {"privacy": _privacy, "tiers": _tiers}
"""Rows of the table that take more than one line."""


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
