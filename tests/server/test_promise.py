"""What a contract promises is said in words, also where it is nothing."""

from typing import Any

from server.promise import promised
from shared_model.schema import parse_federation
from tests.client import shops


def told(privacy: dict[str, Any] | None) -> dict[str, Any]:
    agreed = shops.contract(federation={"local_steps": 1, "full_batch": True})
    return promised(parse_federation(agreed | ({"privacy": privacy} if privacy else {})))


def test_a_contract_without_privacy_says_that_updates_may_tell_something() -> None:
    assert told(None)["on"] is False
    assert "NONE" in told(None)["text"]
    assert "may tell something about a single shopper" in told(None)["text"]


def test_a_private_contract_names_epsilon_delta_and_whom_they_protect() -> None:
    assert told({"epsilon": 8.0, "delta": 1e-6}) == {
        "on": True,
        "unit": "shopper",
        "epsilon": 8.0,
        "delta": 1e-6,
        "text": "each shopper at a merchant: epsilon 8, delta 1e-06, over all trainings.",
    }


def test_a_layer_that_protects_merchants_is_named_beside_it() -> None:
    layer = {"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 1.0}
    found = told({"epsilon": 8.0, "delta": 1e-6, "merchants": layer})
    assert found["merchants"] == {"epsilon": 20.0, "delta": 1e-5}
    assert found["text"].endswith("; each merchant: epsilon 20, delta 1e-05, in one training.")
