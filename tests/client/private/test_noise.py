"""Normals are normal to the tail, uniforms uniform, and nobody shares a key. Seeded noise repeats."""

import multiprocessing
import os

import pytest
import torch
from scipy import stats

from client.private import SecureNoise, SeededNoise
from client.private.noise import _CHUNK

SOURCES = {"secure": SecureNoise, "seeded": lambda: SeededNoise(torch.Generator().manual_seed(7))}


class Replayed(SecureNoise):
    """Secure noise under a fixed key, so that a statistical test cannot fail by chance."""

    def _rekey(self) -> None:
        key, os.urandom = os.urandom, lambda n: bytes(range(n))
        super()._rekey()
        os.urandom = key


def test_normals_follow_the_normal_law() -> None:
    drawn = Replayed().normal_(torch.empty(1_000_001))
    assert (
        stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3
    )  # false alarms: 1 in 1000 over keys; this one is fixed


def test_the_tail_of_normals_is_that_of_the_law() -> None:
    drawn = Replayed().normal_(torch.empty(4_000_000))
    beyond = int((drawn.abs() > 4).sum())
    assert stats.binomtest(beyond, 4_000_000, 2 * stats.norm.sf(4)).pvalue > 1e-3


def test_a_normal_can_lie_beyond_what_32_bits_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SecureNoise()
    monkeypatch.setattr(source, "_fresh", lambda count: torch.zeros(count, dtype=torch.int32))
    assert 9 < float(source._radius(1)) < 10  # 32 bits would end at 6.7


def test_neighbours_and_pairs_are_not_correlated() -> None:
    drawn = Replayed().normal_(torch.empty(1_000_000))
    for lag in (1, _CHUNK // 2):  # 5 sd of a correlation of a million: false alarms 6e-7
        assert abs(float((drawn[lag:] * drawn[:-lag]).mean())) < 5e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniforms_follow_the_uniform_law_and_never_reach_one(dtype: torch.dtype) -> None:
    drawn = Replayed().uniform_(torch.empty(1_000_001, dtype=dtype))
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > 1e-3
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0,), (2 * _CHUNK + 1,)])
@pytest.mark.parametrize("name", SOURCES)
def test_every_shape_is_filled_and_returned(name: str, shape: tuple[int, ...]) -> None:
    out = torch.full(shape, torch.nan)
    assert SOURCES[name]().normal_(out) is out
    assert bool(out.isfinite().all())


def test_what_is_not_contiguous_is_filled_too() -> None:
    out = torch.zeros(4, 6, dtype=torch.float64).T
    assert bool(SecureNoise().normal_(out).all())


def test_two_sources_differ() -> None:
    assert not torch.equal(SecureNoise().normal_(torch.empty(9)), SecureNoise().normal_(torch.empty(9)))


def test_a_forked_process_takes_a_key_of_its_own() -> None:
    source = SecureNoise()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(source.normal_(torch.empty(4)).tolist()))
    child.start()
    child.join()
    assert queue.get() != source.normal_(torch.empty(4)).tolist()


def test_a_key_is_used_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.private.noise._REKEY", 100)
    source = SecureNoise()
    first = source._cipher
    source.normal_(torch.empty(200))
    assert source._cipher is not first


def test_seeded_noise_repeats() -> None:
    first, second = SOURCES["seeded"](), SOURCES["seeded"]()
    assert torch.equal(first.normal_(torch.empty(9)), second.normal_(torch.empty(9)))
