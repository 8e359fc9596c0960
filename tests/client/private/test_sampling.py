"""Every unit has its own coin; the sample is never empty on purpose and never cut."""

import pytest
import torch
from scipy import stats

from client.private import SecureNoise, SeededNoise, poisson
from shared_model.errors import PrivacyError


def seeded() -> SeededNoise:
    return SeededNoise(torch.Generator().manual_seed(3))


def test_rate_one_draws_everybody() -> None:
    assert poisson(5, 1.0, SecureNoise()).tolist() == [0, 1, 2, 3, 4]


def test_positions_are_ascending_and_distinct() -> None:
    drawn = poisson(1000, 0.3, SecureNoise())
    assert torch.equal(drawn, drawn.unique())


def test_nobody_may_be_drawn() -> None:
    assert poisson(3, 1e-12, SecureNoise()).tolist() == []


def test_nobody_to_draw_from_gives_an_empty_sample() -> None:
    assert poisson(0, 0.5, SecureNoise()).tolist() == []


def test_the_size_of_a_sample_follows_the_binomial_law() -> None:
    noise = seeded()
    sizes = torch.tensor([len(poisson(40, 0.1, noise)) for _ in range(3000)])
    counts = torch.bincount(sizes, minlength=12)[:12].double()
    expected = torch.from_numpy(stats.binom.pmf(range(12), 40, 0.1))
    # cells 0 to 11 hold all but 3e-4; false alarms 1e-3, for a seed that is fixed
    assert stats.chisquare(counts / counts.sum() * 3000, expected / expected.sum() * 3000).pvalue > 1e-3


def test_every_unit_is_drawn_at_the_rate() -> None:
    noise = seeded()
    times = torch.zeros(20)
    for _ in range(4000):
        times[poisson(20, 0.25, noise)] += 1
    # sd of a share is .0068; 4.5 sd over 20 units: false alarms 1.4e-4
    assert float((times / 4000 - 0.25).abs().max()) < 0.031


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(PrivacyError, match="sampling rate"):
        poisson(3, rate, SecureNoise())
