"""A merchant's private rounds: charged first, counted always, stopped before the budget is."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from client.merchant import Merchant
from client.private.ledgers import ledger_file
from client.state import load_round
from shared_model import precision
from shared_model.errors import ConfigError, DataError, Refused
from shared_model.model import initial_shared
from shared_model.precision import PRECISIONS
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.ledger import Ledger, read_charges, read_entries
from shared_model.privacy.plan import plan_of
from shared_model.protocol import TELEMETRY, Answer, Refusal
from tests.client import shops

DATES = {"validation_from": "2024-02-10", "test_from": "2024-02-20"}
POLICY = {"epsilon": 8.0, "delta": 1e-6}


def contract(policy: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return shops.contract(
        federation={"local_steps": 1, "full_batch": True, "rounds": 3}, privacy=policy or POLICY, **changes
    )


def merchant(folder: Path, *, seed: int | None = None, **options: Any) -> Merchant:
    given = {"split": DATES, "agreement": contract(), **options}
    return shops.merchant(folder, seed=seed, **given)


def again(merchant: Merchant, *, seed: int | None = None) -> Merchant:
    """The same merchant in a new process."""
    config = merchant.config
    return shops.opened(config.file, config.file.parent / "federation.toml", seed=seed)


def train(merchant: Merchant, **changes: Any) -> Answer:
    arrays = initial_shared(merchant.federation, 0)
    return merchant.train(shops.instruction(merchant.federation, arrays, **changes), arrays)


def refused(merchant: Merchant, **changes: Any) -> Refusal:
    with pytest.raises(Refused) as caught:
        train(merchant, **changes)
    return Refusal(caught.value.code)


def charged(merchant: Merchant) -> list[tuple[str, str, int]]:
    file = ledger_file(merchant.config.ledger)
    return [(charge.what, charge.lineage, charge.round) for charge in read_charges(file)]


def forget_rounds(merchant: Merchant) -> None:
    """What is left after a crash between the charge and the reply, or after an old backup came back."""
    for path in (merchant.config.state / "rounds").glob("*"):
        path.unlink()


def test_every_round_is_charged_once(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    train(mine, round=1)
    train(mine, round=2)
    assert charged(mine) == [("round", shops.LINEAGE, 1), ("round", shops.LINEAGE, 2)]


@pytest.mark.parametrize(
    ("labels", "why"),
    [("at_home", "labels = at_home"), ("noised", r"labels = noised, and no \[items\] table")],
)
def test_the_ledger_says_once_what_stays_at_home_and_why(tmp_path: Path, labels: str, why: str) -> None:
    units = {"kind": "regression", "library": "units"}
    policy = POLICY | {"tasks": {"units": {"labels": labels}}}
    mine = merchant(tmp_path, agreement=contract(policy, tasks={"units": units}))
    train(mine, round=1)
    train(again(mine), round=2)
    reasons = [entry.reason for entry in read_entries(ledger_file(mine.config.ledger)) if entry.reason]
    assert len(reasons) == 1
    assert re.match(rf"units: no part in private rounds \({why}", reasons[0])


def test_the_whole_plan_fits_and_costs_what_the_contract_promises(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    for number in (1, 2, 3):
        train(mine, round=number)
    spent = [e for c in read_charges(ledger_file(mine.config.ledger)) for e in c.events]
    assert 7.99 < epsilon(spent, 1e-6) <= 8.0


def test_the_same_round_again_gets_the_same_bytes_and_costs_nothing(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    first, second = train(mine), train(again(mine))
    assert first.ledger == second.ledger
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    assert len(charged(mine)) == 1


def test_the_charge_is_on_the_disk_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = merchant(tmp_path)
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(len(charged(mine)))

    monkeypatch.setattr("client.private.rounds.train_private", look)
    train(mine)
    assert seen == [1]


def test_a_round_whose_reply_is_lost_is_charged_again(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    train(mine)
    forget_rounds(mine)
    train(again(mine))
    assert charged(mine) == [("round", shops.LINEAGE, 1)] * 2


def test_a_round_that_would_exceed_the_budget_is_refused_and_nothing_is_trained(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    train(mine, round=1)
    forget_rounds(mine)
    train(again(mine), round=1)
    train(mine, round=2)
    assert refused(mine, round=3) is Refusal.BUDGET
    assert len(charged(mine)) == 3
    stored = load_round(mine.config.state, mine.federation.fingerprint, shops.LINEAGE)
    assert stored is not None
    assert stored.round == 2


def test_another_training_of_the_same_contract_has_no_budget_of_its_own(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    for number in (1, 2, 3):
        train(mine, round=number)
    assert refused(mine, lineage="autumn") is Refusal.BUDGET


def test_a_stricter_cap_of_the_merchant_wins(tmp_path: Path) -> None:
    mine = merchant(tmp_path, privacy={"max_epsilon": 5.0})
    train(mine, round=1)  # epsilon 4.3 of three rounds that cost 8
    assert refused(mine, round=2) is Refusal.BUDGET


def test_an_answer_names_the_head_of_the_ledger(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    told = train(mine).ledger
    train(mine, round=2, ledger=told)
    assert len(told) == 64


def test_a_ledger_that_was_rolled_back_is_noticed_by_what_the_coordinator_holds(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    file = ledger_file(mine.config.ledger)
    train(mine, round=1)
    old = file.read_bytes()
    told = train(mine, round=2).ledger
    file.write_bytes(old)
    assert refused(again(mine), round=3, ledger=told) is Refusal.LEDGER


def test_a_merchant_that_only_receives_is_never_trained_and_spends_nothing(tmp_path: Path) -> None:
    mine = merchant(tmp_path, merchant={"name": "acme", "role": "receive"})
    assert mine.describe().role == "receive"
    assert refused(mine) is Refusal.RECIPIENT
    assert not mine.config.ledger.exists()


def test_a_merchant_smaller_than_its_tier_is_refused_by_its_own_agent(tmp_path: Path) -> None:
    agreement = contract(tiers={"large": {"shoppers": 500, "weight": 1.0}})
    with pytest.raises(DataError, match="the tier 'large' means 500 or more"):
        merchant(tmp_path, agreement=agreement)


def test_bounds_that_one_shopper_can_move_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split"):
        merchant(tmp_path, split={"validation_days": 10, "test_days": 10})


def test_no_two_processes_draw_the_same_noise(tmp_path: Path) -> None:
    first, second = merchant(tmp_path / "a"), merchant(tmp_path / "b")
    ours, theirs = train(first).arrays, train(second).arrays
    # On the public grid one number is the same by chance in 1 of 1,000 times, four never.
    assert not any(np.array_equal(ours[name], theirs[name]) for name in ours if ours[name].size >= 4)


def test_a_simulation_repeats_its_noise_and_keeps_a_ledger_for_every_training(tmp_path: Path) -> None:
    mine = merchant(tmp_path, seed=1)
    first = train(mine, lineage="a")
    forget_rounds(mine)
    second = train(mine, lineage="a")
    train(mine, lineage="b")
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    assert len(list(mine.config.ledger.glob("simulated-*.jsonl"))) == 2
    assert not ledger_file(mine.config.ledger).exists()


def test_tasks_are_those_of_the_file_whatever_the_rows_say(tmp_path: Path) -> None:
    unlabelled = shops.examples().with_columns(bought=None)
    mine = merchant(tmp_path, table=unlabelled)
    assert mine.describe().tasks == {"bought", "amount"}


def test_no_byte_of_the_serving_heads_reaches_a_later_release(tmp_path: Path) -> None:
    """Two merchants alike, of whom one adopts a release and fits serving heads between two rounds."""
    arrays: list[dict[str, Any]] = []
    for adopts in (False, True):
        mine = merchant(tmp_path / str(adopts), seed=3)
        train(mine, round=1)
        _adopt(mine, adopts=adopts)
        arrays.append(train(mine, round=2).arrays)
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def _adopt(mine: Merchant, *, adopts: bool) -> None:
    released = initial_shared(mine.federation, 7)
    offer = shops.offer(mine.federation, released, round=3)
    _ = mine.adopt(offer, released) if adopts else None


def test_the_answer_holds_what_the_contract_names_and_nothing_else(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    assert set(train(mine).arrays) == set(initial_shared(mine.federation, 0))


def test_telemetry_travels_as_one_more_array_where_the_contract_asks_for_it(tmp_path: Path) -> None:
    mine = merchant(tmp_path, agreement=contract({**POLICY, "telemetry": {"share": 0.1}}))
    told = train(mine).arrays[TELEMETRY]
    assert told.shape == (2,)
    [charge] = read_charges(ledger_file(mine.config.ledger))
    assert charge.events == plan_of(mine.federation, "any").round_events()


def with_one_label_or_none(column: str) -> list[pl.DataFrame]:
    """Neighbours: only shopper-3's rows may have a label of one task, and in the second table have none."""
    label = pl.when(pl.col("who") == "shopper-3").then(pl.col(column))
    return [shops.examples().with_columns(label), shops.examples().with_columns(pl.lit(None).alias(column))]


def test_whose_prior_is_trained_does_not_hang_on_one_shoppers_label(tmp_path: Path) -> None:
    """With a head of its own a merchant leaves a prior alone, whatever the rows say."""
    wanted = [{"name": "bought"}, {"name": "amount", "head": "local"}]
    told, moved = [], []
    for number, table in enumerate(with_one_label_or_none("amount")):
        mine = merchant(tmp_path / str(number), table=table, task=wanted)
        told.append(mine.describe().tasks)
        start, now = initial_shared(mine.federation, 0), train(mine).arrays
        moved.append({name for name in start if not np.array_equal(start[name], now[name])})
    assert told == [{"bought"}, {"bought"}]
    assert moved[0] == moved[1]


def test_an_own_task_without_a_label_trains_like_any_other(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "task": [{"name": "bought"}, {"name": "tip", "kind": "regression"}],
        "labels": {"bought": "bought", "tip": "amount"},
    }
    _, without = with_one_label_or_none("amount")
    mine = merchant(tmp_path, table=without, **options)
    assert set(train(mine).arrays) == set(initial_shared(mine.federation, 0))


def test_the_size_is_asked_before_the_first_release_and_not_again(tmp_path: Path) -> None:
    agreement = contract(tiers={"all": {"shoppers": 20, "weight": 1.0}})
    mine = merchant(tmp_path, agreement=agreement)
    train(mine)
    shops.examples(20).write_parquet(tmp_path / "examples.parquet")  # 10 shoppers are left
    assert train(again(mine), round=2).ledger


# --- the ledger ---------------------------------------------------------------------------------------


def test_a_round_opens_the_ledger_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = merchant(tmp_path)
    head = train(mine, round=1).ledger
    opened: list[Path] = []

    def noted(path: Path, *, durable: bool) -> Ledger:
        opened.append(path)
        return Ledger(path, durable=durable)

    monkeypatch.setattr("client.private.rounds.Ledger", noted)
    train(mine, round=2, answered=1, ledger=head)
    assert len(opened) == 1


def test_a_new_round_whose_ledger_is_an_older_copy_is_neither_charged_nor_trained(tmp_path: Path) -> None:
    mine = merchant(tmp_path)
    train(mine, round=1)
    assert refused(mine, round=2, answered=1, ledger="f" * 64) is Refusal.LEDGER
    assert charged(mine) == [("round", shops.LINEAGE, 1)]


# --- crowds under one key -----------------------------------------------------------------------------


def crowd_warnings(folder: Path, caplog: pytest.LogCaptureFixture, guests: int) -> list[str]:
    """What a merchant's own log says in a round, where so many of its rows are of customer 0."""
    buyers = pl.Series("who", ["0" if row < guests else f"c{row}" for row in range(200)])
    table = shops.examples(200).with_columns(buyers)
    later = {"validation_from": "2024-06-01", "test_from": "2024-06-20"}
    train(merchant(folder, table=table, split=later), round=1)
    return [record.message for record in caplog.records if "belong to one shopper" in record.message]


def test_a_crowd_under_one_key_is_told_to_the_merchants_own_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [said] = crowd_warnings(tmp_path, caplog, guests=60)
    assert "by who in [table]" in said


def test_where_nobody_shares_a_key_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert crowd_warnings(tmp_path, caplog, guests=0) == []


def test_whole_steps_are_made_of_what_has_its_noise_and_cost_nothing(tmp_path: Path) -> None:
    """The same round in full precision gives the noised arrays; what travels lies within a step of them."""
    agreed = {"local_steps": 1, "full_batch": True, "rounds": 3}
    answers, charges = {}, {}
    for kind in ("float32", "int8"):
        told = shops.contract(federation={**agreed, "precision": kind}, privacy=POLICY)
        shop = merchant(tmp_path / kind, seed=0, agreement=told)
        start = {n: a.astype(np.float16) for n, a in initial_shared(shop.federation, 0).items()}
        sent = precision.rounded(start, PRECISIONS[kind])
        answers[kind] = shop.train(shops.instruction(shop.federation, sent), sent).arrays
        file = ledger_file(shop.config.ledger, seed=0, lineage="spring")
        charges[kind] = [charge.events for charge in read_charges(file)]
    assert charges["int8"] == charges["float32"]
    steps = precision.scales_of(answers["int8"], PRECISIONS["int8"])
    for name, noised in answers["float32"].items():
        arrived = start[name].astype(np.float32) + steps[name] * answers["int8"][name]
        assert np.abs(noised - start[name]).max() > 0
        assert np.abs(arrived - noised).max() <= steps[name] * (1 + 1e-3)
