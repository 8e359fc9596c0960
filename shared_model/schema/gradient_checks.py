"""Which ways to weigh tasks and to settle their conflicts make sense together, and with which bottom."""

from pathlib import Path

from ..errors import ConfigError
from .bottoms import Wide
from .federation import Federation


def check_gradients(federation: Federation, file: Path | str) -> None:
    """Check `[local] weighting` and `conflict`.

    Raises:
        ConfigError: They look at something that this contract does not have, or would undo it.
    """
    wide, local = isinstance(federation.bottom, Wide), federation.local
    if local.conflict != "none" and wide:
        allowed = (
            "none with a wide bottom: its tasks have no parameter in common, so no gradient of one is in "
            "another's way; or a bottom that they share"
        )
        raise ConfigError(file, "local.conflict", local.conflict, allowed)
    if local.conflict != "none" and federation.adaptation is not None:
        allowed = (
            "none with [adaptation]: what hides the domain pulls against the tasks on purpose, and a rule "
            "would settle that; or no [adaptation]"
        )
        raise ConfigError(file, "local.conflict", local.conflict, allowed)
    if local.weighting == "gradnorm" and wide:
        allowed = (
            "fixed, uncertainty or dwa with a wide bottom: it compares the tasks' gradients of what they "
            "share, and here they share nothing"
        )
        raise ConfigError(file, "local.weighting", local.weighting, allowed)
    if local.weighting in ("dwa", "gradnorm") and local.meta is not None:
        allowed = (
            "fixed or uncertainty with [local.meta]: it learns from the losses of steps, and the inner ones "
            "are no steps of the training"
        )
        raise ConfigError(file, "local.weighting", local.weighting, allowed)
