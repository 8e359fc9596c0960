"""Releases that the ledger does not know of: charged too late, or made of what was never released."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from client.merchant import Merchant
from client.private import rounds
from client.private.rounds import PrivateRounds
from client.rounds import Trained
from client.state import RoundState, load_serving
from client.weighting import Memory
from shared_model.model import MultiTaskModel
from shared_model.protocol import Instruction
from simulations.audit.mechanism import HONEST, Mechanism


def _charged_afterwards(
    rounds_: PrivateRounds, model: MultiTaskModel, instruction: Instruction, memory: Memory
) -> Trained:
    """Train first, and write down what it cost when it is known to have worked."""
    own = rounds_._rows_for(instruction)
    noise = rounds_._noise(f"noise/{instruction.lineage}", instruction.round)
    vars(rounds)["train_private"](model, own, rounds_._federation, rounds_._plan, noise)
    return Trained(rounds_._charge(instruction, "round"), {}, {})


def _begins_with_what_is_served(merchant: Merchant, last: RoundState | None) -> Mapping[str, Tensor]:
    """Warm-start the next round from the serving heads, which fit so well."""
    served = load_serving(merchant.config.state)
    return {**HONEST.local_of(merchant, last), **(served.heads if served else {})}


MUTANTS: dict[str, Callable[[], Mechanism]] = {
    "charged after the release": lambda: replace(HONEST, train=_charged_afterwards),
    "serving heads flow back": lambda: replace(HONEST, local_of=_begins_with_what_is_served),
}
"""Name -> the mechanism (`simulations.audit.mutants`)."""
