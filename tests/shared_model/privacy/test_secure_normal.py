import numpy as np
import pytest
from scipy import stats

from shared_model.privacy.secure_normal import SecureNormal, to_public_grid


def test_draws_are_standard_normal():
    # Nothing can be seeded here: an honest source fails once in a million runs.
    draws = SecureNormal().standard_normal(40_000)
    assert stats.kstest(draws, "norm").pvalue > 1e-6


def test_both_halves_of_a_pair_are_independent():
    # Correlation of 20,000 independent pairs has a deviation of .0071; honest draws fail once in a million.
    first, second = SecureNormal().standard_normal(40_000).reshape(2, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.9 * 0.0071
    assert abs(np.corrcoef(first**2, second**2)[0, 1]) < 4.9 * 0.0071


@pytest.mark.parametrize("size", [0, 1, 7])
def test_as_many_draws_come_as_were_asked_for(size):
    draws = SecureNormal().standard_normal(size)
    assert (draws.shape, draws.dtype) == ((size,), np.float64)


def test_the_same_source_never_repeats_itself():
    source = SecureNormal()
    assert not set(source.standard_normal(100)) & set(source.standard_normal(100))


def test_the_global_generator_neither_matters_nor_moves():
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    first = SecureNormal().standard_normal(4)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(0)
    assert not np.array_equal(first, SecureNormal().standard_normal(4))


def test_the_grid_depends_on_the_noise_alone_and_is_a_millionth_of_it():
    values = np.array([1 / 3, 2e3 / 7, -5.0])
    rounded = to_public_grid(values, 3.0)
    assert np.array_equal(rounded, np.round(rounded * 2**19) / 2**19)  # 3 lies between 2^1 and 2^2
    assert np.abs(rounded - values).max() <= 2.0**-20
