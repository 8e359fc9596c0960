"""A federation of three small shops from their files to the report, through the code that everybody runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, RecordDict

from client.app import app
from client.training import train_plain
from server.reporting import results
from shared_model.architectures import ARCHITECTURES
from shared_model.errors import ConfigError
from shared_model.model import build, initial_shared
from shared_model.parameters import from_arrays, to_arrays
from shared_model.protocol import ARRAYS, REPORT, VERSION, SharedArrays
from shared_model.schema import load_federation
from simulations import federated, runner
from simulations.federated import Site
from simulations.runner import Request

from . import experiments

PLAIN: dict[str, Any] = {
    "federation": {"rounds": 2},
    "server": {"optimizer": "fedavg", "learning_rate": 1.0, "final_learning_rate": 1.0, "average": "last"},
}
"""Two rounds of federated averaging, without any server optimizer of its own."""
MINIBATCH = {"federation": {"full_batch": False, "expected_batch": 8, "local_steps": 2}}


def train(site: Site, directory: Path, *, seed: int = 0) -> SharedArrays:
    """Every merchant behind the ClientApp, whose messages are looked at."""
    return federated.train(site, directory=directory, lineage=directory.name, seed=seed, engine="loop")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, results.Result]:
    """A whole run: its directory and its result."""
    folder = tmp_path_factory.mktemp("run")
    request = Request(experiment=experiments.write(folder), data=None, out=folder / "out")
    return folder / "out", runner.run(request, lambda stage, done, total: None)


def test_a_run_leaves_its_result_in_its_directory(finished: tuple[Path, results.Result]) -> None:
    directory, result = finished
    assert results.read(directory / "result.json") == result


def test_the_report_shows_what_the_result_says(finished: tuple[Path, results.Result]) -> None:
    directory, result = finished
    page = (directory / "report.html").read_text()
    assert all(merchant.name in page for merchant in result.merchants)
    assert all(task.name.replace("_", " ") in page for task in result.tasks)
    assert result.contract.fingerprint[:12] in page


def test_every_round_is_told_of(finished: tuple[Path, results.Result]) -> None:
    rounds = finished[1].rounds
    assert [(r.round, r.accepted, r.refused, r.missing) for r in rounds] == [
        (1, 3, 0, 0),
        (2, 3, 0, 0),
        (3, 3, 0, 0),
    ]
    assert all(r.validation for r in rounds)


def test_every_merchant_is_served_something_on_each_of_its_tasks(
    finished: tuple[Path, results.Result],
) -> None:
    served = [cell for cell in finished[1].cells if cell.test_rows]
    assert {cell.merchant for cell in served} == {"synthetic-01", "synthetic-02", "synthetic-03"}
    assert not [cell for cell in served if cell.federated is None or cell.alone is None]


def test_a_directory_of_another_contract_is_refused(
    finished: tuple[Path, results.Result], tmp_path: Path
) -> None:
    changed = experiments.write(tmp_path, experiments.contract(federation={"rounds": 4}))
    with pytest.raises(ConfigError, match="another contract"):
        runner.run(Request(experiment=changed, data=None, out=finished[0]), lambda *_: None)


def test_a_federation_of_one_merchant_is_its_own_local_training(tmp_path: Path) -> None:
    agreement = experiments.contract(**PLAIN)
    del agreement["tasks"]["next_item"]  # every head that is left stays as it is during rounds
    site = experiments.site(tmp_path, agreement, merchants=1)
    together = train(site, tmp_path / "run")

    contract = load_federation(site.contract)
    dataset = site.merchant("synthetic-01", 0).dataset
    model = build(contract, generator=torch.Generator())
    from_arrays(model, initial_shared(contract, 0))
    train_plain(model, dataset, contract, torch.Generator())  # round 1
    train_plain(model, dataset, contract, torch.Generator())  # round 2
    assert experiments.same(together, to_arrays(model, model.shared_parameters()))


def test_the_same_seed_gives_the_same_arrays(tmp_path: Path) -> None:
    site = experiments.site(tmp_path, experiments.contract(**MINIBATCH))
    first = train(site, tmp_path / "run")
    experiments.forget(site)
    assert experiments.same(train(site, tmp_path / "again" / "run"), first)


def test_another_seed_gives_other_arrays_where_rows_are_drawn(tmp_path: Path) -> None:
    site = experiments.site(tmp_path, experiments.contract(**MINIBATCH))
    assert not experiments.same(train(site, tmp_path / "a"), train(site, tmp_path / "b", seed=1))


def test_another_seed_changes_nothing_where_nothing_is_drawn(tmp_path: Path) -> None:
    site = experiments.site(tmp_path)  # every step takes all rows, and the linear priors begin at zero
    assert experiments.same(train(site, tmp_path / "a"), train(site, tmp_path / "b", seed=1))


class Recording:
    """The merchants' ClientApp; remembers what leaves it."""

    def __init__(self) -> None:
        self.sent: list[RecordDict] = []

    def __call__(self, message: Message, context: Context) -> Message:
        reply = app(message, context)
        self.sent.append(reply.content)
        return reply


BOTTOMS: dict[str, dict[str, Any]] = {
    "wide": {},
    "shared_bottom": {"hidden": [4]},
    "mmoe": {"hidden": [4], "experts": 2},
    "ple": {"hidden": [4, 4], "experts": 1},
    "task_embedding": {"hidden": [4], "width": 2},
    "cascade": {"hidden": [4], "chain": ["will_rebuy", "late"]},
}


def test_the_walk_over_federations_knows_every_bottom() -> None:
    assert set(BOTTOMS) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", BOTTOMS)
def test_only_shared_parameters_and_an_echo_ever_leave_a_merchant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    recording, bottom = Recording(), {"architecture": architecture, **BOTTOMS[architecture]}
    monkeypatch.setattr(federated, "app", recording)
    site = experiments.site(tmp_path, experiments.contract(federation={"rounds": 2}) | {"bottom": bottom})
    train(site, tmp_path / "spring")
    model = build(load_federation(site.contract), generator=torch.Generator())
    assert len(recording.sent) == 6  # three merchants, two rounds
    assert all(set(content) == {ARRAYS, REPORT} for content in recording.sent)
    assert all(set(c.array_records[ARRAYS]) == set(model.shared_parameters()) for c in recording.sent)
    assert {tuple(sorted(c.config_records[REPORT].items())) for c in recording.sent} == {
        (("ledger", ""), ("lineage", "spring"), ("round", 1), ("version", VERSION)),
        (("ledger", ""), ("lineage", "spring"), ("round", 2), ("version", VERSION)),
    }
    assert not set(model.shared_parameters()) & set(model.local_parameters())
