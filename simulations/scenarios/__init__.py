"""Made-up markets for any contract, with one knob for how related merchants are, and the right answer.

`read` makes a `Market` of ready tables; `Shops` holds the same merchants in memory, for thousands of them.
"""

from pathlib import Path

from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.schema import Federation

from ..market import Market
from .memory import PrivateShopRows, ShopRows, Shops
from .options import ScenarioMarket
from .oracle import Truth, truth, truths
from .tables import merchant_tables
from .world import World

__all__ = ["PrivateShopRows", "ScenarioMarket", "ShopRows", "Shops", "Truth", "generate", "read", "truths"]


def read(options: ScenarioMarket, base: Path) -> Market:
    """Return the market over the contract that `options.contract` names, relative to `base`.

    Raises:
        ConfigError: There is no such contract, or a knob is for a task that it does not have.
    """
    if not options.contract:
        raise ConfigError(
            "a scenario", "market.contract", None, "the contract whose features and tasks tables have"
        )
    return generate(options, schema.load_federation(base / options.contract))


def generate(options: ScenarioMarket, contract: Federation) -> Market:
    """Return the market that `options` describe over a contract (see `read`).

    Returns:
        A market whose `truth` says what federating is worth (`oracle.py`).
    """
    for task in options.tasks:
        if task not in contract.tasks:
            raise ConfigError(
                "a scenario", f"market.tasks.{task}", task, f"one of {', '.join(contract.tasks)}"
            )
    world = World(options, contract)
    return Market(
        name=f"synthetic {options.merchant}s",
        merchants={name: merchant_tables(world, number) for number, name in enumerate(world.names)},
        validation_from=options.validation_from,
        test_from=options.test_from,
        truth=truth(world),
    )
