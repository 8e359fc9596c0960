"""What those get who come after a training: a new merchant, a new task, a new contract.

A merchant that joins later needs nothing of the coordinator but the released file: it adopts it as everybody
does, with residuals that begin at zero, so it serves the shared prior from its first day. A task of its own
gets a head, fitted on the frozen bottom (`client/serving.py`).

A common task or a feature more is another contract, with another fingerprint. `carry` takes over from a
release what means the same under both, and the next training starts from that instead of from chance:

* A parameter is carried where it has the same name and shape, and what it belongs to means the same: the
  feature (its declaration and, where it is hashed, the hash key), the task (its kind, labels and scales; not
  its weight), the bottom's declaration.
* A weight that reads the columns of features is carried column by column. Columns that are new, or mean
  something else now, enter at zero, so the model predicts what it predicted until they are trained.
* All other parameters begin as in a new training (`shared_model.model.initial_shared`).

What stays at merchants (gates, local tables, training heads) belongs to the old contract and begins anew.

It reads released arrays alone, so it costs no privacy (post-processing). What was spent on shoppers under the
old contract stays spent (docs/privacy.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared_model import files, schema
from shared_model.architectures.cascade import chain_of
from shared_model.architectures.wide import Wide
from shared_model.errors import ConfigError, FingerprintMismatch, StateError
from shared_model.features import Encoded
from shared_model.layers import Bank, Linear, recording
from shared_model.model import MultiTaskModel, build, initial_shared
from shared_model.protocol import SharedArrays

START = "start.safetensors"
"""Name of the file that a training starts from, where nobody names another."""

_TRAINING = frozenset(
    {"weight", "residual_penalty", "initial", "max_items", "max_full", "negatives", "head", "dropout"}
)
"""Keys of a task or a feature that change how it is trained, and not what its parameters mean."""
_OWN_COLUMNS = frozenset({"hinges", "steps", "flag_missing"})
"""Keys of a number that add columns to it, and change none of the others."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a new contract's training starts from.

    Attributes:
        arrays: All shared arrays of the new contract.
        whole: Names of those that were carried as they are.
        columns: Name -> how many of its columns were carried, and how many it has.
        anew: Names of those that begin as in a new training.
        dropped: Names of released arrays of which nothing was carried.
    """

    arrays: SharedArrays
    whole: tuple[str, ...]
    columns: Mapping[str, tuple[int, int]]
    anew: tuple[str, ...]
    dropped: tuple[str, ...]


def carry(released: SharedArrays, old: schema.Federation, new: schema.Federation, *, seed: int) -> Carried:
    """Return what a training of `new` starts from, given what one of `old` released.

    Args:
        released: Under `old`.
        old: The contract that they belong to.
        new: The contract to come.
        seed: Of what begins anew.

    Raises:
        StateError: `released` are not the arrays of `old`.
    """
    _check_shapes(released, old, "the release")
    move = _Move(old, new)
    arrays, whole, columns, anew = dict(initial_shared(new, seed)), [], {}, []
    for name, fresh in arrays.items():
        before = released.get(name)
        if before is None or not move.means_the_same(name):
            anew.append(name)
        elif move.reads_other_columns(name) and (found := move.by_column(before, fresh)) is not None:
            arrays[name], columns[name] = found
        elif before.shape == fresh.shape:
            arrays[name] = before
            whole.append(name)
        else:
            anew.append(name)
    kept = {*whole, *columns}
    dropped = tuple(name for name in released if name not in kept)
    return Carried(arrays=arrays, whole=tuple(whole), columns=columns, anew=tuple(anew), dropped=dropped)


def contract_of(release: Path) -> Path:
    """Return where the contract of a released file lies: beside it, or in the coordinator's folder.

    Raises:
        ConfigError: There is none.
    """
    for folder in (release.absolute().parent, *release.absolute().parents[2:3]):
        if (folder / "federation.toml").exists():
            return folder / "federation.toml"
    raise ConfigError(release, "", "without its contract", "a federation.toml beside it, or --old-contract")


def read(path: Path, federation: schema.Federation) -> SharedArrays:
    """Return the arrays of a released file, or of one that `write` made, under their contract.

    Raises:
        ConfigError: There is no such file.
        FingerprintMismatch: They belong to another contract.
        StateError: The file is damaged, or holds other arrays than those of the contract.
    """
    try:
        tensors, metadata = files.read_tensors(path)
    except FileNotFoundError:
        raise ConfigError(path, "", None, "a file of released arrays, or one that `carry` made") from None
    if metadata.get("fingerprint") != federation.fingerprint:
        raise FingerprintMismatch(
            f"{path} belongs to the contract {metadata.get('fingerprint', '')[:12]}..., this one is "
            f"{federation.fingerprint[:12]}.... `fedbazaar-server carry` takes it over to another contract."
        )
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    _check_shapes(arrays, federation, str(path))
    return arrays


def write(path: Path, carried: Carried, old: schema.Federation, new: schema.Federation) -> None:
    """Write what a training of `new` starts from.

    Raises:
        OSError: The disk is full; an earlier file stays as it was.
    """
    tensors = {name: torch.from_numpy(np.require(a, requirements="W")) for name, a in carried.arrays.items()}
    files.write_tensors(path, tensors, {"fingerprint": new.fingerprint, "carried_from": old.fingerprint})


def promise(old: schema.Federation, new: schema.Federation) -> str:
    """Return what carrying over means for shoppers, in a sentence or two; nothing without privacy."""
    if new.privacy is None:
        return ""
    if old.privacy is None:
        return (
            "What is carried was trained without privacy. The new contract's promise covers what its own "
            "training adds, not what the old one already told."
        )
    return (
        f"Carrying over costs nothing more, but what was spent stays spent: up to epsilon "
        f"{old.privacy.epsilon:g} under the old contract, and up to {new.privacy.epsilon:g} more under the "
        "new one. Only a merchant's own privacy.max_epsilon counts both together."
    )


class _Move:
    """What means the same under two contracts."""

    def __init__(self, old: schema.Federation, new: schema.Federation) -> None:
        before, self._model = (build(c, generator=torch.Generator().manual_seed(0)) for c in (old, new))
        self._bottom = old.bottom == new.bottom
        self._domains = old.adaptation and new.adaptation and old.adaptation.domains == new.adaptation.domains
        self._features = _same_features(old, new)
        self._old_columns, self._columns = before.encoder.columns, self._model.encoder.columns
        read = {column.feature for column in self._columns}
        self._others = self._old_columns != self._columns or not read <= self._features
        self._tasks = {
            name
            for name, task in new.tasks.items()
            if name in old.tasks and _meaning(task) == _meaning(old.tasks[name]) and self._items_same(task)
        }
        if not (chain := set(chain_of(new.bottom))) <= self._tasks:
            self._tasks -= chain  # a link says something only together with those before it
        self._readers = _readers_of_columns(self._model)

    def _items_same(self, task: schema.Task) -> bool:
        """Whether a tower of items, where the task has one, reads and meets what it did before."""
        if not isinstance(task, schema.Retrieval) or not task.content:
            return True
        meets_columns = isinstance(self._model.bottom, Wide)
        return set(task.content) <= self._features and not (meets_columns and self._others)

    def means_the_same(self, name: str) -> bool:
        """Whether an array of this name belongs to the same thing under both contracts."""
        part, *rest = name.split(".")
        if part == "encoder":
            return rest[1] in self._features
        if not self._bottom:
            return False
        if part == "adaptation":
            return bool(self._domains)
        movers = self._model.moved_by(name)
        return movers <= self._tasks or (part == "bottom" and movers == set(self._model.heads))

    def reads_other_columns(self, name: str) -> bool:
        """Whether an array reads the columns of features, and they are others now."""
        return self._others and name in self._readers

    def by_column(
        self, before: np.ndarray[Any, Any], fresh: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], tuple[int, int]] | None:
        """Return the old weight under the new columns, new ones zero, and how many of how many were carried.

        What stands behind the columns of features is carried as it stands. None where that does not fit.
        """
        behind = fresh.shape[-1] - len(self._columns)
        if before.shape != (*fresh.shape[:-1], len(self._old_columns) + behind):
            return None
        known = {c: place for place, c in enumerate(self._old_columns) if c.feature in self._features}
        places = [(place, known[c]) for place, c in enumerate(self._columns) if c in known]
        places += [(len(self._columns) + i, len(self._old_columns) + i) for i in range(behind)]
        moved = np.zeros_like(fresh)
        for after, former in places:
            moved[..., after] = before[..., former]
        return moved, (len(places), fresh.shape[-1])


def _meaning(declared: schema.Task | schema.Feature) -> tuple[type, dict[str, Any]]:
    unread = _TRAINING | _OWN_COLUMNS
    return type(declared), {key: value for key, value in asdict(declared).items() if key not in unread}


def _same_features(old: schema.Federation, new: schema.Federation) -> frozenset[str]:
    """Return the names of features that mean the same; one of events only where all that describe them do."""
    same_hash = old.federation.hash_key == new.federation.hash_key
    same = {
        name
        for name, feature in new.features.items()
        if name in old.features
        and _meaning(feature) == _meaning(old.features[name])
        and (same_hash or isinstance(feature, schema.Numeric | schema.Vector))
    }
    return frozenset(name for name in same if set(getattr(new.features[name], "of", ())) <= same)


def _readers_of_columns(model: MultiTaskModel) -> frozenset[str]:
    """Return the names of the weights whose last axis begins with the columns of features.

    They are looked for by sending through the model rows that nothing else looks like.
    """
    encoder, source = model.encoder, torch.Generator().manual_seed(0)
    encoded = Encoded(
        dense=torch.rand(2, encoder.dense_width, generator=source),
        embedded=torch.rand(2, encoder.embedded_width, generator=source),
    )
    sent, tasks = encoded.joined, tuple(model.heads)
    with recording() as tape:
        model.priors(model.bottom(encoded, tasks), tasks)
    read = [
        record.layer
        for record in tape
        if isinstance(record.layer, Linear | Bank) and torch.equal(record.input[..., : sent.shape[-1]], sent)
    ]
    return frozenset(f"{name}.weight" for name, module in model.named_modules() if module in read)


def _check_shapes(arrays: SharedArrays, federation: schema.Federation, what: str) -> None:
    expected = {name: array.shape for name, array in initial_shared(federation, 0).items()}
    if {name: array.shape for name, array in arrays.items()} != expected:
        raise StateError(f"The arrays of {what} are not those of its contract: another version wrote them.")
