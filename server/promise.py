"""What a contract promises, or does not, in plain words: the same in the journal, `run` and `status`."""

from typing import Any

from shared_model.privacy.words import NOT_PROTECTED
from shared_model.schema import Federation

_NOTHING = f"NONE. This contract trains {NOT_PROTECTED}. No epsilon can be stated."


def promised(federation: Federation) -> dict[str, Any]:
    """Return who is protected, and how well, as JSON values.

    Returns:
        `on` says whether there is a `[privacy]` table, `text` what it promises. Where there is one, `unit`,
        `epsilon` and `delta` are its own, and `merchants` has those of the layer that protects merchants.
    """
    policy = federation.privacy
    if policy is None:
        return {"on": False, "text": _NOTHING}
    text = (
        f"each {policy.unit} at a merchant: epsilon {policy.epsilon:g}, delta {policy.delta:g}, over all "
        "trainings"
    )
    facts = {"on": True, "unit": policy.unit, "epsilon": policy.epsilon, "delta": policy.delta}
    layer = policy.merchants
    if layer is None:
        return {**facts, "text": f"{text}."}
    return {
        **facts,
        "merchants": {"epsilon": layer.epsilon, "delta": layer.delta},
        "text": f"{text}; each merchant: epsilon {layer.epsilon:g}, delta {layer.delta:g}, in one training.",
    }
