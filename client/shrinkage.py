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
    log, mean, variance = _posteriors(effects, errors)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    better = mean / np.sqrt(variance)
    chance, against = weights @ norm.cdf(better), weights @ norm.sf(better)
    worth: Floats = np.where(chance < 0.5, norm.ppf(chance), -norm.ppf(against))
    return worth.clip(-_MOST, _MOST)


def _posteriors(effects: Floats, errors: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, for S values of tau, log p(tau | e) up to a constant (5.21), and mean and variance of theta.

    Shapes (S,), (S, T) and (S, T); 5.17 and 5.20.
    """
    spread = _SPREADS[:, None] ** 2
    precision = np.linalg.inv(errors + spread[..., None] * np.eye(len(effects)))
    rows = precision.sum(-1)  # precision times ones
    about_mu = rows.sum(-1, keepdims=True)
    residual = effects - rows @ effects[:, None] / about_mu
    pulled = np.einsum("stu,su->st", precision, residual)
    log = 0.5 * (np.linalg.slogdet(precision)[1] - np.log(about_mu[:, 0]) - (residual * pulled).sum(-1))
    rest = 1 - spread * rows  # what a task takes over of mu
    variance = spread * (1 - spread * np.diagonal(precision, axis1=1, axis2=2)) + rest**2 / about_mu
    return log, effects - residual + spread * pulled, variance
