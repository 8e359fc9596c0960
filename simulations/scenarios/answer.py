"""The right answer of an experiment's scenario, for people: `fedbazaar-sim truth`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from shared_model import schema
from shared_model.errors import ConfigError

from ..experiment import load_experiment
from .options import ScenarioMarket
from .oracle import Truth, truths
from .world import World

Answers = Mapping[str, Mapping[str, Truth]]


def answers_of(experiment: Path) -> Answers:
    """Return merchant -> task -> what federating is worth; nothing is drawn or trained.

    Raises:
        ConfigError: The market is no scenario, or a file says something that is not allowed.
    """
    market = load_experiment(experiment).market
    if not isinstance(market, ScenarioMarket):
        allowed = "scenario: of other markets nobody knows the answer before it was tried"
        raise ConfigError(experiment, "market.kind", market.kind, allowed)
    return truths(World(market, schema.load_federation(experiment.parent / market.contract)))


def to_json(found: Answers) -> bytes:
    """Return the same as JSON."""
    plain = {name: {task: asdict(answer) for task, answer in of.items()} for name, of in found.items()}
    return json.dumps(plain, indent=1).encode()


def table(found: Answers) -> Table:
    """Return one line per merchant and task."""
    shown = Table("merchant", "task", "rows", "alone", "federated", "shared part alone", "gain", "answer")
    for merchant, answers in found.items():
        for task, answer in answers.items():
            losses = (f"{loss:.3f}" for loss in (answer.alone, answer.federated, answer.prior))
            said = "federate" if answer.helps else "no need"
            shown.add_row(merchant, task, f"{answer.rows:.0f}", *losses, f"{100 * answer.gain:+.1f} %", said)
    return shown
