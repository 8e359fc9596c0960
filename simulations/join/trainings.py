"""Federations with and without a merchant, at one level of privacy: what everybody is then served."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared_model.protocol import SharedArrays

from .. import federated
from ..kept import kept
from ..runner import Bench
from ..scores import Scores, averaged

SERVED, PRIOR = "served", "prior"


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """The trainings of one level.

    Attributes:
        bench: Contract, merchants and data.
        level: Its name, for people.
        seeds: Each training is repeated with each.
    """

    bench: Bench
    level: str
    seeds: tuple[int, ...]

    def scores(self, without: str = "") -> dict[str, Scores]:
        """Return what is served and what the released prior says, on test rows, averaged over seeds.

        Args:
            without: This merchant only receives: it takes no part in training, and is served what came of it.
        """
        runs = self.runs(without)
        return {name: averaged([run[name] for run in runs]) for name in runs[0]}

    def runs(self, without: str = "") -> list[dict[str, Scores]]:
        """Return the same for each seed by itself."""
        return [self._kept(seed, self._missed(without)) for seed in self.seeds]

    def trains(self, name: str) -> bool:
        """Whether a merchant takes part in training; the others only receive, by their tier."""
        return self.bench.site.merchant(name, self.seeds[0]).describe().role == "train"

    def arrays(self, seed: int, without: str = "") -> SharedArrays:
        """Return what was released; a training that is finished is not repeated."""
        without = self._missed(without)
        planned, bench = self.bench.federation.federation.rounds, self.bench
        stage = f"federation{f' without {without}' if without else ''}, seed {seed}"
        return bench.train(
            bench.site,
            directory=self.directory(seed, without),
            lineage=self.lineage(seed, without),
            seed=seed,
            receivers=(without,) if without else (),
            on_round=lambda summary: bench.progress(stage, summary.round, planned),
        )

    def directory(self, seed: int, without: str = "") -> Path:
        """Return the folder of one training."""
        return self.bench.out / f"seed-{seed}" / (f"without-{without}" if without else "everybody")

    def lineage(self, seed: int, without: str = "") -> str:
        """Return the name of one training."""
        name = f"{self.bench.experiment.experiment.name}-{seed}"
        return f"{name}-without-{without}" if without else name

    def _missed(self, without: str) -> str:
        """Return nobody's name for a merchant that takes no part anyway: everybody's training is that one."""
        return without if without and self.trains(without) else ""

    def _kept(self, seed: int, without: str) -> dict[str, Scores]:
        return kept(self.directory(seed, without) / "scores.npz", lambda: self._scored(seed, without))

    def _scored(self, seed: int, without: str) -> Mapping[str, Scores]:
        """Train and let everybody adopt at once, before merchants forget what they keep of this training."""
        bench, arrays = self.bench, self.arrays(seed, without)
        merchants = {name: bench.site.merchant(name, seed) for name in bench.datasets}
        return {
            SERVED: federated.served_scores(merchants, arrays, self.lineage(seed, without)),
            PRIOR: federated.prior_scores(bench.federation, bench.datasets, arrays),
        }
