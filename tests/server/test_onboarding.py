"""Those who come later start from what was released: merchants, tasks, features."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from typer.testing import CliRunner

from server import onboarding
from server.cli import app
from server.onboarding import Carried, carry
from shared_model.architectures import ARCHITECTURES
from shared_model.errors import ConfigError, FingerprintMismatch, StateError
from shared_model.files import write_tensors
from shared_model.model import build, initial_shared
from shared_model.parameters import from_arrays, load, take
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation, parse_federation
from tests.client import shops
from tests.shared_model.contracts import CATALOGUE, batch, tables

Change = Callable[[dict[str, Any]], object]
NETWORKS = sorted(set(ARCHITECTURES) - {"wide"})


def nothing(given: dict[str, Any]) -> None:
    pass


def small(change: Change = nothing, **more: Any) -> Federation:
    """Two numbers and two tasks under a wide bottom: columns price, weight."""
    given: dict[str, Any] = {
        "federation": {"name": "tiny", "rounds": 2},
        "features": {"price": {"kind": "numeric"}, "weight": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary"}, "days": {"kind": "regression"}},
        "bottom": {"architecture": "wide"},
        **more,
    }
    change(given)
    return parse_federation(given)


def trained(federation: Federation) -> SharedArrays:
    """Arrays that look like a training's: 1, 2, 3, ... in each."""
    return {
        name: np.arange(1, array.size + 1, dtype=np.float32).reshape(array.shape)
        for name, array in initial_shared(federation, 0).items()
    }


def moved(old: Federation, new: Federation) -> Carried:
    return carry(trained(old), old, new, seed=5)


def test_the_same_contract_is_carried_whole() -> None:
    carried = moved(small(), small())
    assert set(carried.whole) == set(carried.arrays)
    assert not carried.anew
    assert not carried.dropped


def test_a_feature_more_enters_at_zero_in_its_place() -> None:
    # columns become age, price, weight
    new = small(lambda g: g["features"].update(age={"kind": "numeric"}))
    carried = moved(small(), new)
    assert carried.arrays["heads.late.prior.weight"].tolist() == [[0.0, 1.0, 2.0]]
    assert carried.columns == {f"heads.{task}.prior.weight": (2, 3) for task in ("days", "late")}


def test_a_feature_less_leaves_the_others_as_they_were() -> None:
    carried = moved(small(), small(lambda g: g["features"].pop("price")))
    assert carried.arrays["heads.late.prior.weight"].tolist() == [[2.0]]
    assert carried.arrays["heads.late.prior.bias"].tolist() == [1.0]


def test_a_knot_more_is_one_column_more() -> None:
    new = small(lambda g: g["features"]["price"].update(hinges=[0.5]))
    assert moved(small(), new).arrays["heads.late.prior.weight"].tolist() == [[1.0, 0.0, 2.0]]


def test_a_feature_that_is_scaled_otherwise_means_something_else() -> None:
    new = small(lambda g: g["features"]["price"].update(scale=2.0))
    assert moved(small(), new).arrays["heads.late.prior.weight"].tolist() == [[0.0, 2.0]]


def test_a_task_more_begins_at_its_constant_and_one_less_is_dropped() -> None:
    def swapped(given: dict[str, Any]) -> None:
        given["tasks"]["sent_back"] = {"kind": "binary", "initial": 0.5}
        del given["tasks"]["days"]

    carried = moved(small(), small(swapped))
    assert set(carried.anew) == {"heads.sent_back.prior.bias", "heads.sent_back.prior.weight"}
    assert set(carried.dropped) == {"heads.days.prior.bias", "heads.days.prior.weight"}
    assert not carried.arrays["heads.sent_back.prior.weight"].any()


def test_a_task_that_is_scaled_otherwise_begins_anew() -> None:
    carried = moved(small(), small(lambda g: g["tasks"]["days"].update(scale=2.0)))
    assert set(carried.anew) == {"heads.days.prior.bias", "heads.days.prior.weight"}


def test_a_task_of_another_weight_means_the_same() -> None:
    carried = moved(small(), small(lambda g: g["tasks"]["days"].update(weight=2.0, residual_penalty=9.0)))
    assert not carried.anew


def big(architecture: str, change: Change = nothing) -> Federation:
    given = copy.deepcopy(tables(architecture))
    change(given)
    return parse_federation(given)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_network_predicts_with_a_feature_more_what_it_predicted_without(architecture: str) -> None:
    old = big(architecture, lambda g: [g["features"].pop("tags"), g["features"].pop("price")])
    new = big(architecture)
    source = torch.Generator().manual_seed(1)
    before = build(old, generator=source, catalogues={"next_item": CATALOGUE})
    for name, parameter in before.named_parameters():
        if name in before.shared_parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=source)
    released = {
        n: p.detach().numpy() for n, p in before.named_parameters() if n in before.shared_parameters()
    }
    after = build(new, generator=source, catalogues={"next_item": CATALOGUE})
    from_arrays(after, carry(released, old, new, seed=0).arrays)
    stays = [n for n in before.local_parameters() if n.startswith("encoder.")]  # gates are zero at both
    load(after, take(before, stays))
    whole = batch()
    torch.testing.assert_close(
        after(whole, ["late"], own=False)["late"], before(whole, ["late"], own=False)["late"]
    )


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_task_more_leaves_all_that_the_others_share(architecture: str) -> None:
    more = big(architecture, lambda g: g["tasks"].update(will_rebuy={"kind": "binary"}))
    carried = moved(big(architecture), more)
    assert not carried.dropped
    assert all("will_rebuy" in name for name in carried.anew)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_tables_of_another_hash_begin_anew(architecture: str) -> None:
    other = big(architecture, lambda g: g["federation"].update(hash_key="new"))
    carried = moved(big(architecture), other)
    assert "encoder.tables.category.weight" in carried.anew
    assert "encoder.projections.picture.weight" in carried.whole


def test_under_another_bottom_only_tables_are_carried() -> None:
    carried = moved(big("mmoe"), big("shared_bottom"))
    assert {name.split(".")[0] for name in carried.whole} == {"encoder"}
    assert {name.split(".")[0] for name in carried.anew} == {"bottom", "heads"}


def test_a_chain_begins_anew_where_one_of_its_links_means_something_else() -> None:
    def linked(horizon_days: int) -> Federation:
        return small(
            lambda g: g["tasks"].update(
                late={"kind": "binary", "horizon_days": horizon_days},
                sent_back={"kind": "binary", "initial": 0.1},
            ),
            bottom={"architecture": "cascade", "chain": ["late", "sent_back"]},
        )

    carried = moved(linked(7), linked(28))
    assert {name.split(".")[1 if name.startswith("heads") else 2] for name in carried.whole} == {"days"}


def test_the_discriminator_is_carried_while_the_domains_are_the_same() -> None:
    def adapting(*domains: str) -> Federation:
        return big("mmoe", lambda g: g.update(adaptation={"domains": list(domains)}))

    name = "adaptation.guess.weight"
    assert name in moved(adapting("a", "b"), adapting("a", "b")).whole
    assert name in moved(adapting("a", "b"), adapting("b", "a")).anew


def test_what_begins_anew_is_what_a_training_with_that_seed_begins_with() -> None:
    new = big("mmoe", lambda g: g["features"].update(brand={"kind": "categorical", "buckets": 8, "width": 2}))
    carried = moved(big("mmoe"), new)
    assert carried.anew == ("encoder.tables.brand.weight",)
    expected = initial_shared(new, 5)["encoder.tables.brand.weight"]
    assert (carried.arrays["encoder.tables.brand.weight"] == expected).all()


def test_arrays_of_another_version_are_refused() -> None:
    released = trained(small())
    del released["heads.late.prior.bias"]
    with pytest.raises(StateError, match="another version"):
        carry(released, small(), small(), seed=0)


# --- the command --------------------------------------------------------------------------------------


def files_of(folder: Path, old: Federation, given: dict[str, Any]) -> tuple[Path, Path]:
    """A released file with its contract beside it, and a new contract."""
    (folder / "old").mkdir()
    (folder / "old" / "federation.toml").write_text(tomli_w.dumps(given))
    release = folder / "old" / "released.safetensors"
    tensors = {name: torch.from_numpy(array) for name, array in trained(old).items()}
    write_tensors(release, tensors, {"fingerprint": old.fingerprint})
    new = copy.deepcopy(given)
    new["features"]["age"] = {"kind": "numeric"}
    new["tasks"]["sent_back"] = {"kind": "binary"}
    (folder / "federation.toml").write_text(tomli_w.dumps(new))
    return release, folder / "federation.toml"


def given() -> dict[str, Any]:
    return {
        "federation": {"name": "tiny", "rounds": 2, "full_batch": True},
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary"}},
        "bottom": {"architecture": "wide"},
    }


def test_the_command_says_what_it_did_and_makes_what_a_run_starts_from(tmp_path: Path) -> None:
    release, contract = files_of(tmp_path, parse_federation(given()), given())
    said = CliRunner().invoke(app, ["carry", str(release), str(contract), "--json"])
    facts = json.loads(said.stdout)
    assert facts["columns"] == {"heads.late.prior.weight": "1 of 2"}
    assert facts["anew"] == ["heads.sent_back.prior.bias", "heads.sent_back.prior.weight"]
    new = parse_federation(
        {**given(), "features": {"age": {"kind": "numeric"}, **given()["features"]},
         "tasks": {"sent_back": {"kind": "binary"}, **given()["tasks"]}}
    )  # fmt: skip
    start = onboarding.read(tmp_path / "start.safetensors", new)
    assert start["heads.late.prior.weight"].tolist() == [[0.0, 1.0]]


def test_the_table_names_every_part(tmp_path: Path) -> None:
    release, contract = files_of(tmp_path, parse_federation(given()), given())
    said = CliRunner().invoke(app, ["carry", str(release), str(contract)])
    assert said.exit_code == 0
    assert "heads.late.prior.bias" in said.stdout
    assert "1 of 2 columns" in said.stdout


def test_a_release_of_another_contract_is_refused(tmp_path: Path) -> None:
    release, _ = files_of(tmp_path, parse_federation(given()), given())
    with pytest.raises(FingerprintMismatch):
        onboarding.read(release, small())


def test_a_release_without_its_contract_is_refused(tmp_path: Path) -> None:
    release, _ = files_of(tmp_path, parse_federation(given()), given())
    (tmp_path / "old" / "federation.toml").unlink()
    with pytest.raises(ConfigError, match="--old-contract"):
        onboarding.contract_of(release)


PRIVACY = {"epsilon": 8.0, "delta": 1e-6}


def test_what_is_spent_stays_spent_and_the_command_says_so() -> None:
    private = small(lambda g: g["federation"].update(full_batch=True), privacy=PRIVACY)
    assert "up to epsilon 8 under the old contract" in onboarding.promise(private, private)
    assert "without privacy" in onboarding.promise(small(), private)
    assert onboarding.promise(private, small()) == ""


# --- merchants that join later ------------------------------------------------------------------------


ONLY_HEADS = {"candidates": ["federated"]}


def test_a_merchant_that_joins_later_serves_the_shared_prior_from_its_first_day(tmp_path: Path) -> None:
    late = shops.merchant(tmp_path, table=shops.examples(rows=1), serve=ONLY_HEADS)
    arrays = trained(late.federation)
    late.adopt(shops.offer(late.federation, arrays), arrays)
    parts = dict(late.served().federated.named_parameters())
    assert not parts["heads.bought.own.weight"].any()
    assert not parts["heads.bought.own.bias"].any()


def test_a_task_of_its_own_gets_a_head_on_the_frozen_bottom(tmp_path: Path) -> None:
    own = [{"name": "bought"}, {"name": "spent", "kind": "regression", "residual_penalty": 1.0}]
    labels = {"bought": "bought", "spent": "amount"}
    late = shops.merchant(tmp_path, task=own, labels=labels, serve=ONLY_HEADS)
    arrays = shops.start(late.federation)
    late.adopt(shops.offer(late.federation, arrays), arrays)
    served = dict(late.served().federated.named_parameters())
    assert served["heads.spent.own.weight"].any()
    assert all((served[n].detach().numpy() == arrays[n]).all() for n in arrays)
