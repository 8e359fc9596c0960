"""How merchants in one process train: one after another, or together."""

from typing import Literal

Engine = Literal["auto", "loop", "vectorised"]
"""`loop`: one after another. `vectorised`: as cohorts wherever that is possible (`vectorised.choice`).

`auto`: as cohorts where a formula says that it is faster (`vectorised.choice.predicted_gain`)."""
