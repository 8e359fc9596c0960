"""The `[adaptation]` table: representations that do not tell which kind of merchant a row comes from."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import NonNegative


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Adaptation:
    """The `[adaptation]` table (`shared_model/adaptation.py`).

    Attributes:
        domains: Public names of kinds of merchants; each that trains says which is its own.
        strength: lambda, how hard the bottom works against the discriminator; with 0 the discriminator only
            watches.
        hidden: Width of the discriminator's hidden layer; 0 for none.
    """

    domains: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2)]
    strength: NonNegative = 0.1
    hidden: Annotated[int, Field(ge=0, le=4096)] = 0
