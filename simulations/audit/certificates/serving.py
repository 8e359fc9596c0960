"""What is served never reaches a release: heads that were fitted without noise stay on the serving side.

A made-up shop answers a round, adopts a released model, has its serving heads replaced by others, and answers
the next round. A twin that never adopted anything must give the same answer, byte for byte.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from client.merchant import Merchant
from client.state import load_serving, save_serving
from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays

from ..findings import Finding
from ..shop import asked, instruction, opened
from ..subject import Subject


def serving(subject: Subject) -> tuple[Finding, ...]:
    """Return by how much a release changes with what is served."""
    with tempfile.TemporaryDirectory() as folder, _in_place(subject):
        plain, adopted = (
            _second_answer(Path(folder) / name, subject, adopts=name == "adopted")
            for name in ("plain", "adopted")
        )
    return (
        Finding(
            name="serving.reaches",
            value=max(float(abs(plain[name] - adopted[name]).max()) for name in plain),
            high=0.0,
            says="Largest change of a shop's next release when other heads are served.",
        ),
    )


def _second_answer(folder: Path, subject: Subject, *, adopts: bool) -> SharedArrays:
    """Return a shop's answer to a second round, with other heads served since the first or without."""
    shop = opened(folder, seed=subject.number("serving") % 2**32)
    _ask(shop, 1)
    if adopts:
        _serve_others(shop, subject)
    return _ask(shop, 2)


def _ask(shop: Merchant, number: int) -> SharedArrays:
    return asked(shop, number, initial_shared(shop.federation, number))


def _serve_others(shop: Merchant, subject: Subject) -> None:
    """Adopt a release, then put wild heads in the place of those that were fitted."""
    arrays = initial_shared(shop.federation, 9)
    shop.adopt(instruction(shop, "adopt", 3, arrays), arrays)
    state, generator = load_serving(shop.config.state), subject.generator("serving heads")
    assert state is not None  # for the type checker: it was adopted just now
    heads = {name: 100 * torch.randn(h.shape, generator=generator) for name, h in state.heads.items()}
    save_serving(shop.config.state, replace(state, heads=heads))


@contextmanager
def _in_place(subject: Subject) -> Iterator[None]:
    """Let merchants begin a round from the parameters that the mechanism under audit begins it from."""
    real = Merchant._local_of
    try:
        setattr(Merchant, real.__name__, subject.mechanism.local_of)
        yield
    finally:
        setattr(Merchant, real.__name__, real)
