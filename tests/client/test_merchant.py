"""A merchant answers with shared parameters and nothing else, once per round, whatever happens to it."""

import errno
import os
import threading
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tomli_w
import torch

from client import acceptance, floors
from client.acceptance import Accepted
from client.contestants import Contestants
from client.evaluation import logits_of
from client.merchant import Merchant
from client.personalization import METHODS, ditto, fine_tuning
from client.personalization.start import Start
from client.rounds import Trained
from client.state import load_round, load_serving, save_serving
from shared_model import precision
from shared_model.errors import ConfigError, DataError, FingerprintMismatch, Refused, StateError
from shared_model.model import MultiTaskModel
from shared_model.parameters import load
from shared_model.precision import PRECISIONS
from shared_model.protocol import Refusal, SharedArrays

from . import shops


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Personal models differ after ten steps already; how good they become is tested where they are made."""
    monkeypatch.setattr(fine_tuning, "STEPS", 10)
    monkeypatch.setitem(METHODS, "ditto", partial(ditto.personal, steps=10))


def trained(merchant: Merchant, arrays: SharedArrays | None = None, **changes: object) -> SharedArrays:
    sent = shops.start(merchant.federation) if arrays is None else arrays
    return merchant.train(shops.instruction(merchant.federation, sent, **changes), sent).arrays


def same(a: SharedArrays, b: SharedArrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def test_what_leaves_are_the_contracts_shared_parameters_and_nothing_else(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    reply = trained(merchant)
    assert reply.keys() == shops.start(merchant.federation).keys()
    assert not [name for name in reply if "own" in name or "gate" in name or "shelf" in name]
    assert all(array.dtype == np.float32 for array in reply.values())


def test_training_moves_the_shared_parameters(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    assert not same(trained(merchant), shops.start(merchant.federation))


def test_arrays_that_cannot_be_written_to_are_trained_from_without_a_word(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    for array in arrays.values():
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(merchant, arrays)


def test_the_same_seed_gives_the_same_reply(tmp_path: Path) -> None:
    first, second = shops.merchant(tmp_path / "a", seed=3), shops.merchant(tmp_path / "b", seed=3)
    assert same(trained(first), trained(second))


def test_without_a_seed_no_two_runs_draw_alike(tmp_path: Path) -> None:
    first, second = shops.merchant(tmp_path / "a", seed=None), shops.merchant(tmp_path / "b", seed=None)
    assert not same(trained(first), trained(second))


def test_the_same_round_asked_again_gets_the_same_bytes_without_training_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = shops.merchant(tmp_path)
    reply = trained(merchant)
    monkeypatch.setattr(merchant.rounds, "train", None)
    assert same(trained(merchant), reply)


def test_what_a_weighting_remembers_stays_and_survives_a_restart(tmp_path: Path) -> None:
    path, agreement = shops.write(tmp_path, agreement=shops.contract(local={"weighting": "dwa"}))
    reply = trained(shops.opened(path, agreement))
    trained(shops.opened(path, agreement), round=2)
    merchant = shops.opened(path, agreement)
    stored = load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE)
    assert stored is not None
    assert sorted(stored.memory) == ["amount/before", "amount/last", "bought/before", "bought/last"]
    assert set(reply) == set(merchant._model.shared_parameters())


def test_what_stays_between_rounds_does_not_keep_the_reply_in_memory(tmp_path: Path) -> None:
    path, agreement = shops.write(tmp_path)
    trained(shops.opened(path, agreement))
    merchant = shops.opened(path, agreement)
    stored = load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE)
    assert stored is not None
    assert stored.local
    assert all(t.untyped_storage().nbytes() == t.nbytes for t in stored.local.values())


def test_a_merchant_that_was_restarted_remembers_its_reply(tmp_path: Path) -> None:
    path, agreement = shops.write(tmp_path)
    reply = trained(shops.opened(path, agreement))
    assert same(trained(shops.opened(path, agreement, seed=99)), reply)


def test_the_same_round_with_other_arrays_is_a_conflict(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant)
    with pytest.raises(Refused) as refused:
        trained(merchant, shops.start(merchant.federation, seed=1))
    assert refused.value.code == Refusal.CONFLICT


def test_a_round_that_lies_behind_is_refused(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant, round=3)
    with pytest.raises(Refused) as refused:
        trained(merchant, round=2)
    assert refused.value.code == Refusal.ROUND


def test_a_merchant_that_missed_rounds_can_come_back(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant, round=1)
    assert trained(merchant, round=4)


@pytest.mark.parametrize("number", [0, -1, 6])
def test_a_round_that_was_never_planned_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(Refused) as refused:
        trained(shops.merchant(tmp_path), round=number)
    assert refused.value.code == Refusal.ROUND


def test_a_round_is_skipped_only_where_the_coordinator_knows_that_it_was_missed(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant, round=1, answered=0)
    with pytest.raises(Refused, match="holds an answer of acme for round 2") as refused:
        trained(merchant, round=3, answered=2)
    assert refused.value.code == Refusal.ROUND
    trained(merchant, round=3, answered=1)


def test_a_merchant_whose_state_is_an_older_copy_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="an older copy, or somebody answers in this merchant's name"):
        trained(shops.merchant(tmp_path), round=2, answered=1)


def test_in_half_precision_the_change_travels(tmp_path: Path) -> None:
    full = shops.merchant(tmp_path / "full")
    half = shops.merchant(tmp_path / "half", agreement=shops.contract(federation={"precision": "float16"}))
    start = {name: array.astype(np.float16) for name, array in shops.start(half.federation).items()}
    change = trained(half, start)
    assert all(array.dtype == np.float16 for array in change.values())
    for name, value in trained(full).items():
        np.testing.assert_allclose(start[name].astype(np.float32) + change[name], value, atol=2e-3)


def test_in_whole_steps_the_change_travels_and_the_same_round_gets_the_same_bytes(tmp_path: Path) -> None:
    full = shops.merchant(tmp_path / "full")
    byte = shops.merchant(tmp_path / "byte", agreement=shops.contract(federation={"precision": "int8"}))
    start = {name: array.astype(np.float16) for name, array in shops.start(byte.federation).items()}
    change = trained(byte, start)
    steps = precision.scales_of(change, PRECISIONS["int8"])
    for name, value in trained(full).items():
        assert change[name].dtype == np.int8
        back = start[name].astype(np.float32) + steps[name] * change[name]
        np.testing.assert_allclose(back, value, atol=steps[name] + 2e-3)
    again = trained(byte, start)
    assert {n: a.tobytes() for n, a in again.items()} == {n: a.tobytes() for n, a in change.items()}


def test_in_half_precision_the_release_is_whole(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, agreement=shops.contract(federation={"precision": "float16"}))
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    assert merchant.served().federated is not None


@pytest.mark.parametrize("kind", ["train", "adopt"])
def test_an_instruction_for_one_thing_is_not_obeyed_for_another(tmp_path: Path, kind: str) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    do = merchant.adopt if kind == "train" else merchant.train
    with pytest.raises(Refused) as refused:
        do(shops.instruction(merchant.federation, arrays, kind=kind), arrays)
    assert refused.value.code == Refusal.RECIPIENT


def test_another_training_begins_afresh_and_the_first_is_not_forgotten(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    first = trained(merchant, round=2)
    trained(merchant, lineage="autumn", round=1)
    assert same(trained(merchant, round=2), first)


def test_a_changed_contract_is_refused(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    with pytest.raises(FingerprintMismatch):
        trained(merchant, fingerprint="0" * 64)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays | {"heads.bought.own.weight": np.zeros((1, 4), np.float32)},
        lambda arrays: dict(list(arrays.items())[1:]),
        lambda arrays: {n: a.astype(np.float64) for n, a in arrays.items()},
        lambda arrays: {n: np.full_like(a, np.nan) for n, a in arrays.items()},
        lambda arrays: {n: a[..., None] for n, a in arrays.items()},
    ],
    ids=["an extra head", "a missing array", "another dtype", "NaN", "another shape"],
)
def test_wrong_arrays_are_refused_and_nothing_is_kept(tmp_path: Path, spoil: object) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = spoil(shops.start(merchant.federation))  # type: ignore[operator]
    with pytest.raises(Refused) as refused:
        trained(merchant, arrays)
    assert refused.value.code == Refusal.ARRAYS
    assert load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE) is None


def test_arrays_that_the_instruction_does_not_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        trained(shops.merchant(tmp_path), digest="0" * 64)
    assert refused.value.code == Refusal.ARRAYS


def test_training_that_diverges_is_not_answered(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, agreement=shops.contract(local={"learning_rate": 1e30}))
    with pytest.raises(Refused, match="training diverged") as refused:
        trained(merchant)
    assert refused.value.code == Refusal.FAILED


def test_a_second_round_at_the_same_time_is_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = shops.merchant(tmp_path)
    begun, release = threading.Event(), threading.Event()

    def slow(*_: object) -> Trained:
        begun.set()
        release.wait(10)
        return Trained("", {}, {})

    monkeypatch.setattr(merchant.rounds, "train", slow)
    first = threading.Thread(target=trained, args=(merchant,))
    first.start()
    begun.wait(10)
    with pytest.raises(Refused) as refused:
        trained(merchant)
    release.set()
    first.join()
    assert refused.value.code == Refusal.BUSY


def test_a_full_disk_leaves_the_round_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merchant = shops.merchant(tmp_path)
    before = trained(merchant, round=1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            trained(merchant, round=2)
    assert same(trained(merchant, round=1), before)
    assert trained(merchant, round=2)


def test_a_damaged_state_file_is_named_and_not_overwritten(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant)
    (stored,) = (merchant.config.state / "rounds").iterdir()
    stored.write_bytes(b"damaged")
    with pytest.raises(StateError, match="is damaged"):
        trained(merchant)
    assert stored.read_bytes() == b"damaged"


def test_what_stays_is_kept_from_round_to_round(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    trained(merchant, round=1)
    one = load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE)
    trained(merchant, round=2)
    two = load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE)
    assert one is not None
    assert two is not None
    assert "bottom.gate.weight" in one.local
    assert not torch.equal(one.local["bottom.gate.weight"], two.local["bottom.gate.weight"])


EVERY_CANDIDATE = ["alone", "federated", "fine_tuned", "ditto", "mixture", "prior"]


def test_nothing_that_is_served_reaches_a_later_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin never adopts. If anything flowed from serving into training, the second rounds would differ.
    choosing_always(monkeypatch, "ditto")
    plain = shops.merchant(tmp_path / "a")
    adopting = shops.merchant(tmp_path / "b", serve={"candidates": EVERY_CANDIDATE, "pull": 1.0})
    first = trained(plain)
    assert same(trained(adopting), first)
    adopting.adopt(shops.offer(adopting.federation, first), first)
    assert same(trained(plain, first, round=2), trained(adopting, first, round=2))


def choosing_always(monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    """Whatever the evidence, every task is served by this candidate."""

    def decide(samples: Mapping[str, object], *_: object) -> dict[str, Accepted]:
        return {task: Accepted(choice, 2.0, {}) for task in samples}

    monkeypatch.setattr(acceptance, "decide", decide)


@pytest.mark.parametrize("served", EVERY_CANDIDATE)
def test_what_is_served_is_exactly_what_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: str
) -> None:
    choosing_always(monkeypatch, served)
    path, agreement = shops.write(tmp_path, serve={"candidates": EVERY_CANDIDATE, "pull": 1.0})
    merchant = shops.opened(path, agreement)
    arrays = shops.start(merchant.federation)
    judged: list[Contestants] = []
    accept = acceptance.accept
    monkeypatch.setattr(acceptance, "accept", lambda c, *rest: (judged.append(c), accept(c, *rest))[1])
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    rows = merchant.dataset.rows("test", task="bought")
    answered = shops.opened(path, agreement, seed=9).serve("bought", rows)
    assert torch.equal(answered, judged[0].logits(served, "bought", rows))


def test_every_candidate_has_an_answer_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.contestants.chosen_weight", lambda *_: 0.5)
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    found = merchant.contestants(shops.offer(merchant.federation, arrays), arrays, EVERY_CANDIDATE)
    rows = merchant.dataset.rows("test", task="bought")
    answers = {tuple(found.logits(name, "bought", rows).flatten().tolist()) for name in EVERY_CANDIDATE}
    assert len(answers) == len(EVERY_CANDIDATE)


def test_the_candidate_prior_is_the_release_without_anything_of_the_merchant(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    found = merchant.contestants(shops.offer(merchant.federation, arrays), arrays, ["federated", "prior"])
    rows = merchant.dataset.rows("test", task="bought")
    expected = logits_of(found.models["federated"], merchant.dataset, "bought", rows, own=False)
    assert torch.equal(found.logits("prior", "bought", rows), expected)


def test_a_head_without_a_prior_has_none_to_serve(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, task=[{"name": "bought", "head": "local"}, {"name": "amount"}])
    arrays = shops.start(merchant.federation)
    found = merchant.contestants(shops.offer(merchant.federation, arrays), arrays, ["federated", "prior"])
    assert (found.rivals("bought"), found.rivals("amount")) == ((), ("prior",))


def test_ditto_goes_on_from_the_adoption_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Start] = []
    monkeypatch.setitem(
        METHODS, "ditto", lambda start: (starts.append(start), ditto.personal(start, steps=10))[1]
    )
    merchant = shops.merchant(tmp_path, serve={"candidates": ["federated", "ditto"]})
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    kept = load_serving(merchant.config.state)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    first, second = (start.before for start in starts)
    assert kept is not None
    assert not first
    assert set(second) == {name for name, _ in merchant._model.named_parameters()}
    assert all(torch.equal(value, kept.personal_model("ditto")[name]) for name, value in second.items())


def test_evidence_is_kept_for_the_next_adoption(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    first = merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    kept = load_serving(merchant.config.state)
    assert kept is not None
    assert {"amount/alone", "bought/alone", "amount/mixture"} <= set(kept.evidence)
    assert merchant.adopt(shops.offer(merchant.federation, arrays), arrays) == first


def test_after_adoption_the_merchant_serves_its_own_fit(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, serve={"accept": "always"})
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    served, prior = merchant.evaluate("test"), merchant.evaluate("test", prior=True)
    assert served["amount"]["RMSE"] < prior["amount"]["RMSE"]
    assert served["bought"]["log loss"] < prior["bought"]["log loss"]


def test_adopting_twice_serves_the_same(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    rows = merchant.dataset.rows("test", task="bought")
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    first = merchant.serve("bought", rows)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    assert torch.equal(merchant.serve("bought", rows), first)


def test_what_was_accepted_is_served_although_the_shop_has_new_rows(tmp_path: Path) -> None:
    path, agreement = shops.write(tmp_path)
    merchant = shops.opened(path, agreement)
    arrays = shops.start(merchant.federation)
    arrays["heads.amount.prior.bias"] += 1e4  # a release so bad that the merchant serves its own model
    accepted = merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    assert accepted["amount"].choice in ("alone", "mixture")
    rows = merchant.dataset.rows("test", task="amount")
    before = merchant.serve("amount", rows)
    shops.examples().with_columns(pl.col("amount") * 3).write_parquet(tmp_path / "examples.parquet")
    assert torch.equal(shops.opened(path, agreement).serve("amount", rows), before)


def test_serving_before_adoption_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="join a federation first"):
        shops.merchant(tmp_path).evaluate()


def test_a_failed_adoption_keeps_what_was_served(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    before = load_serving(merchant.config.state)
    bad = {name: np.full_like(array, np.inf) for name, array in arrays.items()}
    with pytest.raises(Refused):
        merchant.adopt(shops.offer(merchant.federation, bad), bad)
    after = load_serving(merchant.config.state)
    assert before is not None
    assert after is not None
    assert all(torch.equal(before.heads[n], after.heads[n]) for n in before.heads)


def test_a_merchant_describes_itself_by_public_facts(tmp_path: Path) -> None:
    facts = shops.merchant(tmp_path).describe()
    assert (facts.name, facts.tier, facts.tasks) == ("acme", "any", frozenset({"bought", "amount"}))


def test_a_contract_with_privacy_is_refused_rather_than_trained_without(tmp_path: Path) -> None:
    agreement = shops.contract(privacy={"epsilon": 8.0, "delta": 1e-6})
    with pytest.raises(ConfigError, match="privacy"):
        shops.merchant(tmp_path, agreement=agreement)


def test_a_merchant_without_any_label_answers_with_what_it_was_sent(tmp_path: Path) -> None:
    unlabelled = shops.examples().with_columns(bought=pl.lit(None, pl.Int64), amount=pl.lit(None, pl.Float64))
    merchant = shops.merchant(tmp_path, table=unlabelled)
    assert merchant.describe().tasks == frozenset()
    assert same(trained(merchant), shops.start(merchant.federation))


def test_a_merchant_may_keep_a_head_of_its_own_for_a_common_task(tmp_path: Path) -> None:
    tasks = [{"name": "bought", "head": "local"}, {"name": "amount"}]
    agreement = shops.contract(bottom={"architecture": "wide"})
    merchant = shops.merchant(tmp_path, task=tasks, agreement=agreement)
    reply, start = trained(merchant), shops.start(merchant.federation)
    assert np.array_equal(reply["heads.bought.prior.weight"], start["heads.bought.prior.weight"])
    assert not np.array_equal(reply["heads.amount.prior.weight"], start["heads.amount.prior.weight"])
    assert merchant.describe().tasks == {"amount"}


def test_a_merchant_with_nothing_to_share_answers_with_what_it_was_sent(tmp_path: Path) -> None:
    agreement = shops.contract(bottom={"architecture": "wide"})
    merchant = shops.merchant(tmp_path, task=[{"name": "bought", "head": "local"}], agreement=agreement)
    assert same(trained(merchant), shops.start(merchant.federation))


def choosing(folder: Path, items: tuple[str, str], **changes: object) -> Merchant:
    """A shop that sells two items, the first one twice as often."""
    item = pl.Series("item", [items[i % 3 // 2] for i in range(60)])
    table = {
        "source": "examples.parquet", "time": "day", "unit": "who",
        "labels": {"bought": "bought", "amount": "amount", "item": "item"},
    }  # fmt: skip
    agreement = shops.contract(tasks={"item": {"kind": "retrieval"}}, **changes)
    path, contract = shops.write(folder, shops.examples().with_columns(item), agreement=agreement)
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | {"table": table}))
    return shops.opened(path, contract)


def test_a_head_fitted_for_another_catalogue_is_not_served(tmp_path: Path) -> None:
    merchant = choosing(tmp_path, ("mug", "pot"))
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    adopted = load_serving(merchant.config.state)
    assert adopted is not None
    save_serving(merchant.config.state, replace(adopted, choices={**adopted.choices, "item": "federated"}))
    rows = merchant.dataset.rows("test", task="item")
    floor = floors.bought_before(merchant.dataset, "item", rows)
    assert not torch.equal(merchant.serve("item", rows), floor)
    turned = choosing(tmp_path, ("pot", "mug"))
    assert torch.equal(turned.serve("item", rows), floors.bought_before(turned.dataset, "item", rows))
    assert torch.equal(turned.serve("amount", rows), merchant.serve("amount", rows))


def test_a_head_trained_for_another_catalogue_begins_again(tmp_path: Path) -> None:
    merchant = choosing(tmp_path, ("mug", "pot"), federation={"local_steps": 1})
    trained(merchant, round=1)
    turned = choosing(tmp_path, ("pot", "mug"), federation={"local_steps": 1})
    found = load_round(turned.config.state, turned.federation.fingerprint, shops.LINEAGE)
    kept = turned._local_of(found)
    assert found is not None
    assert found.local["heads.item.own.weight"].abs().max() > 0
    assert kept["heads.item.own.weight"].abs().max() == 0
    assert torch.equal(kept["bottom.gate.weight"], found.local["bottom.gate.weight"])


def test_a_task_that_came_after_the_adoption_says_what_to_do(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    arrays = shops.start(merchant.federation)
    merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    adopted = load_serving(merchant.config.state)
    assert adopted is not None
    save_serving(merchant.config.state, replace(adopted, choices={"bought": "federated"}))
    with pytest.raises(DataError, match="for the task amount; adopt the release again"):
        merchant.serve("amount", merchant.dataset.rows("test"))


def test_a_round_that_leaves_a_private_part_infinite_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = shops.merchant(tmp_path)

    def spoil(model: MultiTaskModel, *_: object) -> Trained:
        load(model, {"bottom.gate.bias": torch.full((4,), torch.inf)})
        return Trained("", {}, {})

    monkeypatch.setattr(merchant.rounds, "train", spoil)
    with pytest.raises(Refused, match=r"not finite bottom.gate.bias"):
        trained(merchant)
    assert load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE) is None
