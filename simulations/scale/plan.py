"""What a scale file may say: a made-up market, and how many merchants of it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared, schema
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Count, Federation

from ..engines import Engine
from ..scenarios import ScenarioMarket

Size = Annotated[int, Field(ge=1, le=100_000)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Scale:
    """The `[scale]` table.

    Attributes:
        contract: `federation.toml`, relative to this file. Its `merchants_per_round` bounds a round's cost.
        merchants: How many, one size after another; the first merchants are the same in all of them.
        engine: How merchants train (`simulations.vectorised`).
        seed: Of initial weights and of all merchants' draws.
        judged: So many merchants, at most those of the smallest size, judge what is released by test rows.
    """

    contract: str
    merchants: Annotated[tuple[Size, ...], Field(min_length=1)] = (10, 100, 1000, 10_000)
    engine: Engine = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    judged: Count = 50


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class File:
    """All of a scale file."""

    scale: Scale
    market: ScenarioMarket = ScenarioMarket()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A scale file with its contract.

    Attributes:
        name: Of the file.
        scale: The table.
        market: Of the made-up merchants.
        contract: Path of the contract.
        federation: The contract.
    """

    name: str
    scale: Scale
    market: ScenarioMarket
    contract: Path
    federation: Federation


def load(path: Path) -> Plan:
    """Return the scale study at `path`.

    Raises:
        ConfigError: A key or value is not allowed, or names the number of merchants twice.
    """
    tables = declared.read_toml(path)
    for key in ("merchants", "contract"):
        if isinstance(market := tables.get("market"), dict) and key in market:
            raise ConfigError(path, f"market.{key}", market[key], f"scale.{key} in its place")
    file = declared.parse(File, tables, file=path)
    contract = path.parent / file.scale.contract
    return Plan(
        name=path.stem,
        scale=file.scale,
        market=file.market,
        contract=contract,
        federation=schema.load_federation(contract),
    )


def market_of(plan: Plan, merchants: int) -> ScenarioMarket:
    """Return the made-up market with so many merchants."""
    return replace(plan.market, merchants=merchants)
