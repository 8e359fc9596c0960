"""The noise of a merchant that was opened without a seed: secret, fresh, standard normal, of `SecureNoise`.

The other certificates replace the source by a named generator, so that they can be repeated. Here a made-up
shop is opened twice as in production and trains one round each; the source that the round was given is then
examined. Nothing of this can be replayed from a seed: findings are numbers of statistics outside their
bounds, which repeat, and not the statistics, which do not.

An honest source is refuted with a probability of about 1e-6: ten statistics, each with `_ERROR`.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats

from client.private import rounds
from client.private.noise import Noise, SecureNoise
from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays

from ..findings import Finding, refuted
from ..shop import asked, opened
from ..subject import Subject
from .noise import Floats, gaussian

_ERROR = 1e-7
_DRAWS = 200_000
"""From each of two sources."""

_RATE = 0.1
_UNSEEDED = " Drawn from the operating system's key: it cannot be replayed from the audit's seed."


class _Round(NamedTuple):
    """What a shop released, the source that its round was given, and draws from that: (_DRAWS,) each."""

    released: SharedArrays
    noise: Noise
    normals: Floats
    coins: Floats


def source(subject: Subject) -> tuple[Finding, ...]:
    """Return what is wrong with the noise that merchants draw from in production."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (_trained(Path(folder) / name, subject) for name in ("first", "second"))
        alike = _in_a_fork(first.noise)
    return (
        Finding(
            name="source.type",
            value=float(sum(type(shop.noise) is not SecureNoise for shop in (first, second))),
            high=0.0,
            says="Rounds of a merchant without a seed whose noise is not that of `SecureNoise`, of 2.",
        ),
        _found("source.normals", _normals(first, second), "Statistics of its normals outside their bounds"),
        _found("source.coins", _coins(first, second), "Statistics of its coins outside their bounds"),
        _found(
            "source.fresh",
            {**_repeats(first, second), "in a forked process": alike},
            "Ways in which it repeats itself",
        ),
    )


def _found(name: str, wrong: dict[str, bool], says: str) -> Finding:
    which = (
        f" ({', '.join(name for name, is_wrong in wrong.items() if is_wrong)})" if any(wrong.values()) else ""
    )
    return Finding(
        name=name,
        value=float(sum(wrong.values())),
        high=0.0,
        says=f"{says}, of {len(wrong)}{which}.{_UNSEEDED}",
    )


def _trained(folder: Path, subject: Subject) -> _Round:
    """Open a shop without a seed, ask it for its first round, and draw from the source of that round."""
    shop = opened(folder, seed=None)
    own: Any = shop.rounds
    own._noise = partial(subject.mechanism.source, own)
    with _witnessed() as given:
        released = asked(shop, 1, initial_shared(shop.federation, 1))
    noise = given[0]
    normals = noise.normal_(torch.empty(_DRAWS))
    coins = noise.uniform_(torch.empty(_DRAWS, dtype=torch.float64))
    return _Round(released, noise, normals.double().numpy(), coins.numpy())


@contextmanager
def _witnessed() -> Iterator[list[Noise]]:
    """Note the noise of every round that trains."""
    parts, given = vars(rounds), list[Noise]()
    real = parts["train_private"]

    def train_private(*arguments: Any) -> Any:
        given.append(arguments[-1])
        return real(*arguments)

    try:
        parts["train_private"] = train_private
        yield given
    finally:
        parts["train_private"] = real


def _normals(first: _Round, second: _Round) -> dict[str, bool]:
    findings = gaussian("normals", np.concatenate([first.normals, second.normals]), error=_ERROR)
    outside = {finding.name for finding in refuted(findings)}
    return {finding.name.removeprefix("normals."): finding.name in outside for finding in findings}


def _coins(first: _Round, second: _Round) -> dict[str, bool]:
    coins = np.concatenate([first.coins, second.coins])
    drawn = stats.binomtest(int((coins < _RATE).sum()), coins.size, _RATE)
    law = stats.kstest(coins, "uniform", method="asymp")
    return {"uniform": bool(law.pvalue < _ERROR), "rate": bool(drawn.pvalue < _ERROR)}


def _repeats(first: _Round, second: _Round) -> dict[str, bool]:
    """Whether two rounds are alike, byte for byte or in their noise, and whether a source comes round."""
    same = [np.array_equal(first.released[name], second.released[name]) for name in first.released]
    return {
        "in another round": all(same),
        "in another source": _related(float(first.normals @ second.normals), 1),
        "after a while": any(_related(_echo(shop.normals), _DRAWS) for shop in (first, second)),
    }


def _echo(z: Floats) -> float:
    """Return the largest sum of products of the draws with the draws a while before, over all whiles."""
    spectrum = np.fft.rfft(z)
    return float(np.abs(np.fft.irfft(np.abs(spectrum) ** 2, len(z))[1:]).max())


def _related(product: float, tried: int) -> bool:
    """Whether a sum of products of independent normals is too large, for the largest of so many."""
    return bool(2 * tried * stats.norm.sf(abs(product) / _DRAWS**0.5) < _ERROR)


def _in_a_fork(noise: Noise) -> bool:
    """Return whether a forked process draws what its parent draws, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _tell(writing, noise)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told in (b"", _few(noise))


def _tell(writing: int, noise: Noise) -> None:
    """Write a few draws and leave at once, without anything that a process does at its end."""
    try:
        os.write(writing, _few(noise))
    finally:
        os._exit(0)


def _few(noise: Noise) -> bytes:
    return noise.normal_(torch.empty(4)).numpy().tobytes()
