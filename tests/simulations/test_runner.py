"""Names that do not exist are refused before anything is trained."""

from pathlib import Path

import pytest
import tomli_w

from shared_model.errors import ConfigError
from simulations.runner import Request, run

CONTRACT = {
    "federation": {"name": "tiny", "rounds": 1},
    "features": {"price": {"kind": "numeric"}},
    "tasks": {"delivery_days": {"kind": "regression", "library": "delivery_days"}},
    "bottom": {"architecture": "wide"},
    "tiers": {name: {"shoppers": 0, "weight": 1.0} for name in ("small", "medium", "large")},
}


def write(folder: Path, **changes: object) -> Path:
    experiment = {
        "experiment": {"name": "tiny", "contract": "federation.toml"},
        "market": {"kind": "synthetic", "merchants": 2},
    }
    (folder / "federation.toml").write_text(tomli_w.dumps(CONTRACT))
    path = folder / "tiny.toml"
    path.write_text(tomli_w.dumps({**experiment, **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"experiment": {"name": "tiny", "contract": "federation.toml", "newcomers": ["nobody"]}},
            "experiment.newcomers is 'nobody'; allowed: one of synthetic-01, synthetic-02",
        ),
        (
            {"target": [{"id": "t", "figure": "gain_low", "task": "days", "at_least": 0.0, "text": "-"}]},
            "target.t.task is 'days'; allowed: one of delivery_days",
        ),
        (
            {"target": [{"id": "t", "figure": "gain_low", "group": "tiny", "at_least": 0.0, "text": "-"}]},
            "target.t.group is 'tiny'; allowed: one of all,",
        ),
        (
            {"target": [{"id": "t", "figure": "gain_low", "text": "-"}]},
            "either at_least or at_most",
        ),
    ],
    ids=["newcomer", "task", "group", "no bound"],
)
def test_a_name_that_does_not_exist_is_refused_at_once(tmp_path: Path, changes: dict, says: str) -> None:
    request = Request(experiment=write(tmp_path, **changes), data=None, out=tmp_path / "run")
    with pytest.raises(ConfigError) as refused:
        run(request, lambda stage, done, total: None)
    assert says in str(refused.value)
    assert not (tmp_path / "run" / "merchants").exists()
