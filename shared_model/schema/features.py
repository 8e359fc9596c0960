"""The `[features]` tables."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import Buckets, Finite, Name, Positive, Scope, Share, Width


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Categorical:
    """One category per row, hashed into `buckets` rows of a table of `width` columns.

    Index 0 of every table means "missing" and is always the zero vector.
    """

    kind: Literal["categorical"]
    buckets: Buckets
    width: Width
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multi:
    """A bag of at most `max_values` categories per row; the vectors of its members are averaged."""

    kind: Literal["multi"]
    buckets: Buckets
    width: Width
    max_values: Annotated[int, Field(ge=1, le=1024)] = 16
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Numeric:
    """A number: (transform(x) - center) / scale, cut to [-clip, clip]; missing becomes 0.

    Attributes:
        transform: `log1p` takes negative numbers as 0; `signed_log1p` is sign(x) log(1 + |x|).
        center: Public constant, in transformed units.
        scale: Public constant, in transformed units.
        clip: Bound of the scaled value.
        hinges: Knots k, in scaled units; each adds a column max(value - k, 0).
        steps: Knots k, in scaled units; each adds a column that is 1 where value > k.
        flag_missing: Add a column that is 1 where the value is missing.
    """

    kind: Literal["numeric"]
    transform: Literal["identity", "log1p", "signed_log1p"] = "identity"
    center: Finite = 0.0
    scale: Positive = 1.0
    clip: Positive = 4.0
    hinges: tuple[Finite, ...] = ()
    steps: tuple[Finite, ...] = ()
    flag_missing: bool = False
    column: str = ""

    @property
    def width(self) -> int:
        """Columns that this feature takes among the dense inputs."""
        return 1 + len(self.hinges) + len(self.steps) + self.flag_missing


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Text:
    """Free text as a bag of hashed word and character n-grams; any language, no downloaded weights.

    Attributes:
        words: Longest word n-gram; 0 for none.
        characters: Shortest and longest character n-gram, taken inside words; (0, 0) for none.
        max_grams: At most so many n-grams a row; the first ones are kept.
    """

    kind: Literal["text"]
    buckets: Buckets
    width: Width
    words: Annotated[int, Field(ge=0, le=3)] = 1
    characters: tuple[int, int] = (3, 4)
    max_grams: Annotated[int, Field(ge=1, le=1024)] = 64
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Vector:
    """`length` numbers computed elsewhere (an image, audio or text embedding), projected to `width`.

    A missing vector is the zero vector.

    Attributes:
        dropout: Chance that a row's whole vector is hidden in a training step, as if it were missing; so the
            model learns to do without, and serves rows that have none.
    """

    kind: Literal["vector"]
    length: Annotated[int, Field(ge=1, le=8192)]
    width: Width
    dropout: Share = 0.0
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Sequence:
    """The shopper's last `max_length` events, each described by categorical features named in `of`.

    The events use the tables of those features. Where all of these travel, what the encoder learns does too.

    Attributes:
        encoder: What makes one vector of the events (`shared_model.sequences.ENCODERS`).
        width: Of that vector; by default as wide as the tables together, which `mean` always is.
    """

    kind: Literal["sequence"]
    of: Annotated[tuple[str, ...], Field(min_length=1)]
    max_length: Annotated[int, Field(ge=1, le=1024)] = 20
    encoder: Literal["mean", "lstm", "attention"] = "mean"
    width: Width | None = None
    column: str = ""


Feature = Annotated[Categorical | Multi | Numeric | Text | Vector | Sequence, Field(discriminator="kind")]


def _by_name(features: dict[str, Feature]) -> dict[str, Feature]:
    return dict(sorted(features.items()))


Features = Annotated[dict[Name, Feature], Field(min_length=1), AfterValidator(_by_name)]
"""Features in order of name. Their order decides which column of a weight belongs to which feature, and the
fingerprint does not see how a file orders its tables; so the files' order must not matter."""
