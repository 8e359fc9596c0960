"""What a merchant's advantages on several tasks say together: a normal model in two layers.

A challenger's advantage on task t, in standard deviations of a shopper, e_t, is measured with an error:

    e | theta ~ N(theta, V)      theta_t ~ N(mu, tau^2)      mu flat, tau uniform on (0, 1)

So tasks of one merchant inform each other as much as they agree: where a challenger is a little better on all
of them, that is more than each says alone; where it leads on one and trails on the rest, it is less. tau, how
much tasks differ, is summed over rather than estimated, since there are few tasks. With one task nothing is
pooled: the answer is e_t / sqrt(V_tt), whatever tau.

Guarantee: for any fixed tau, where the challenger is no better on any task, the pooled number has at most the
variance of the number of one task alone, so pooling adds no false alarms (an average with weights A has
variance A V A' under theta = 0, and the posterior variance it is divided by is that plus a positive part).
Over tau this is measured (`tests/client/test_shrinkage.py`).

Source: Gelman et al. (2013), "Bayesian Data Analysis", third edition, section 5.4, equations 5.17 to 5.21,
with a covariance V in the place of independent errors.

Notation: T tasks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]

_SPREADS = (np.arange(40) + 0.5) / 40
_MOST = 8.0
"""More standard errors than that are told as so many."""


def pooled(effects: Floats, errors: Floats) -> Floats:
    """Return, per task, by how many standard errors the challenger is better, all tasks considered.

    That is Phi^-1 of the posterior probability that theta_t is above zero, at most 8 either way.

    Args:
        effects: e, shape (T,).
        errors: V, positive semi-definite with a positive diagonal, shape (T, T).
    """
    posteriors = [_posterior(effects, errors, spread) for spread in _SPREADS]
    weights = np.exp(np.array([p[0] for p in posteriors]) - max(p[0] for p in posteriors))
    chances = np.array([norm.cdf(mean / np.sqrt(variance)) for _, mean, variance in posteriors])
    chance = weights @ chances / weights.sum()
    against = weights @ (1 - chances) / weights.sum()
    worth: Floats = np.where(chance < 0.5, norm.ppf(chance), -norm.ppf(against))
    return worth.clip(-_MOST, _MOST)


def _posterior(effects: Floats, errors: Floats, spread: float) -> tuple[float, Floats, Floats]:
    """Log of p(tau | e) up to a constant (5.21), and mean and variance of every theta_t (5.17, 5.20)."""
    ones = np.ones(len(effects))
    precision = np.linalg.inv(errors + spread**2 * np.eye(len(effects)))
    about_mu = ones @ precision @ ones
    mu = ones @ precision @ effects / about_mu
    residual = effects - mu
    log = 0.5 * (np.linalg.slogdet(precision)[1] - np.log(about_mu) - residual @ precision @ residual)
    keep = spread**2 * precision  # tau^2 (V + tau^2)^-1: what a task keeps of its own surplus
    rest = ones - keep @ ones
    variance = spread**2 * (1 - np.diag(keep)) + rest**2 / about_mu
    return float(log), mu + keep @ residual, variance
