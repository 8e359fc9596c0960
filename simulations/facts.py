"""What a result file says about the run itself: contract, privacy, merchants."""

import math
from collections.abc import Sequence

from client.data.dataset import Dataset
from server.reporting.results import ContractFacts, Merchant, PrivacyFacts, Rows
from shared_model import traffic
from shared_model.model import initial_shared
from shared_model.privacy.words import meaning
from shared_model.schema import Federation

from .market import MerchantTables

_NO_PRIVACY = (
    "This federation trained WITHOUT differential privacy. Orders and heads stayed at their merchants, but "
    "the updates that left them can reveal something about single shoppers. No epsilon can be stated."
)


def privacy(federation: Federation, spent: Sequence[float] = ()) -> PrivacyFacts:
    """Return whether shoppers were protected, in plain words, and what it cost.

    Args:
        federation: The contract.
        spent: Epsilon by the ledger of every merchant that trained.
    """
    asked = federation.privacy
    if asked is None:
        return PrivacyFacts(on=False, text=_NO_PRIVACY)
    most = max(spent, default=0.0)
    promise = (
        f"What leaves a merchant carries noise that hides each {asked.unit} there as far as epsilon and "
        f"delta say. {meaning(asked.epsilon, asked.delta, asked.unit)} The ledgers of {len(spent)} "
        f"merchants that trained count epsilon {most:.3g} at most, of the {asked.epsilon:g} that the "
        "contract promises."
    )
    free = (
        "What a merchant serves is fitted at home and costs nothing. This is a simulation: its noise can be "
        "repeated from the seed, so it shows what privacy costs and protects nobody; a deployed merchant "
        "takes its noise from the operating system."
    )
    return PrivacyFacts(on=True, text=f"{promise} {free}")


def contract(federation: Federation, merchants: int = 1) -> ContractFacts:
    """Return the agreement in numbers, where so many merchants train."""
    shapes = {name: array.shape for name, array in initial_shared(federation, 0).items()}
    moved, asked = traffic.of_mean_round(federation, shapes), federation.federation.asked(merchants)
    return ContractFacts(
        fingerprint=federation.fingerprint,
        architecture=federation.bottom.architecture,
        rounds=federation.federation.rounds,
        shared_parameters=sum(math.prod(shape) for shape in shapes.values()),
        bytes_per_round=moved.of_all(1),
        bytes_down=moved.down,
        bytes_up=moved.up,
        merchants_per_round=asked,
        bytes_of_all=moved.of_all(asked),
    )


def merchant(name: str, tables: MerchantTables, tier: str, dataset: Dataset) -> Merchant:
    """Return a merchant's size and group; its group is its tier where the market names none."""
    kind = "purchase" if "purchase" in dataset.kinds else dataset.kinds[0]
    return Merchant(
        name=name,
        tier=tier,
        group=tables.group or tier,
        orders=len(dataset.rows("train", kind=kind)),
        rows=Rows(
            train=len(dataset.rows("train")),
            validation=len(dataset.rows("validation")),
            test=len(dataset.rows("test")),
        ),
    )
