"""What a merchant keeps between rounds: files in its state folder, each whole or absent.

`rounds/` holds the last finished round of each training: the parameters that stay, and the reply that was
sent, so that the same round asked again is answered by the same bytes. `serving.safetensors` holds what is
served: the released shared parameters, the local ones that the bottom needs, the fitted serving heads, the
personal models, and the evidence that decided between them.
They are different types in different files, and no function turns the second into the first.

Guarantee: a reply is on the disk before it is sent (`tests/client/test_merchant.py`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from shared_model.errors import StateError
from shared_model.files import read_tensors, write_tensors

VERSION = "2"
KEPT_TRAININGS = 64
"""More than the seeds that an experiment may have, since all of them train before the first is adopted."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RoundState:
    """The last finished round.

    Attributes:
        fingerprint: Of the contract it belongs to.
        lineage: Of the training it belongs to.
        round: Its number.
        digest: Of the arrays that came with the instruction.
        local: Parameters that stay, as they are after the round.
        reply: What was answered.
        catalogues: Retrieval task -> digest of the items that its head chooses among, in their order.
        ledger: Head of the privacy ledger that was told with the reply; empty without privacy.
        memory: What the contract's task weighting remembers (`client.weighting`).
        tables: Tables of which only some rows travel in a round, each row as it last came.
    """

    fingerprint: str
    lineage: str
    round: int
    digest: str
    local: Mapping[str, Tensor]
    reply: Mapping[str, Tensor]
    catalogues: Mapping[str, str] = field(default_factory=dict)
    ledger: str = ""
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    tables: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServingState:
    """What is served.

    Attributes:
        fingerprint: Of the contract it belongs to.
        shared: The released shared parameters, and the local ones outside heads (gates, local tables).
        heads: Serving heads, `heads.<task>.own.weight` and `heads.<task>.own.bias`.
        alone: The same for the merchant's own linear model, of the tasks for which it is served.
        choices: Per task, what is served (`contestants.Contestants.logits`).
        catalogues: As in `RoundState`.
        personal: Personal models that are served or that go on with the next adoption, `<candidate>/<name>`.
        weights: Per task with a mixture, the weight of the linear model in it.
        evidence: What later adoptions may add to theirs, `<task>/<rival>` (`evidence.of_days`).
    """

    fingerprint: str
    shared: Mapping[str, Tensor]
    heads: Mapping[str, Tensor]
    alone: Mapping[str, Tensor]
    choices: Mapping[str, str]
    catalogues: Mapping[str, str] = field(default_factory=dict)
    personal: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Tensor] = field(default_factory=dict)

    def personal_model(self, candidate: str) -> dict[str, Tensor]:
        """Return the parameters of a stored personal model; nothing where there is none."""
        return _under(f"{candidate}/", self.personal)


def save_round(folder: Path, state: RoundState, *, durable: bool = True) -> None:
    """Replace the stored round of the state's training, wholly or not at all.

    Other trainings keep theirs, up to `KEPT_TRAININGS` of them; the ones idle for longest are removed.

    Raises:
        OSError: The disk is full or not writable; the round before is still there.
    """
    tensors = _prefixed("local/", state.local) | _prefixed("reply/", state.reply)
    tensors |= _prefixed("memory/", state.memory) | _prefixed("tables/", state.tables)
    metadata = {
        "version": VERSION,
        "fingerprint": state.fingerprint,
        "lineage": state.lineage,
        "round": str(state.round),
        "digest": state.digest,
        "ledger": state.ledger,
        **_prefixed("catalogue/", state.catalogues),
    }
    path = _round_file(folder, state.fingerprint, state.lineage)
    write_tensors(path, tensors, metadata, durable=durable)
    _forget_idle(path.parent)


def load_round(folder: Path, fingerprint: str, lineage: str) -> RoundState | None:
    """Return the stored round of one training, or None before its first.

    Raises:
        StateError: The file is damaged or of another version.
    """
    stored = _read(_round_file(folder, fingerprint, lineage))
    if stored is None:
        return None
    tensors, metadata = stored
    return RoundState(
        fingerprint=metadata["fingerprint"],
        lineage=metadata["lineage"],
        round=int(metadata["round"]),
        digest=metadata["digest"],
        ledger=metadata["ledger"],
        local=_copied(_under("local/", tensors)),
        reply=_under("reply/", tensors),
        catalogues=_under("catalogue/", metadata),
        memory=_copied(_under("memory/", tensors)),
        tables=_under("tables/", tensors),
    )


def save_serving(folder: Path, state: ServingState, *, durable: bool = True) -> None:
    """Replace what is served, wholly or not at all (errors as in `save_round`)."""
    tensors = _prefixed("shared/", state.shared) | _prefixed("heads/", state.heads)
    tensors |= _prefixed("alone/", state.alone) | _prefixed("personal/", state.personal)
    tensors |= _prefixed("evidence/", state.evidence)
    weights = {task: repr(weight) for task, weight in state.weights.items()}
    told = (
        _prefixed("weight/", weights)
        | _prefixed("serve/", state.choices)
        | _prefixed("catalogue/", state.catalogues)
    )
    metadata = {"version": VERSION, "fingerprint": state.fingerprint, **told}
    write_tensors(folder / "serving.safetensors", tensors, metadata, durable=durable)


def load_serving(folder: Path) -> ServingState | None:
    """Return what is served, or None before the first adoption (errors as in `load_round`)."""
    stored = _read(folder / "serving.safetensors")
    if stored is None:
        return None
    tensors, metadata = stored
    return ServingState(
        fingerprint=metadata["fingerprint"],
        shared=_under("shared/", tensors),
        heads=_under("heads/", tensors),
        alone=_under("alone/", tensors),
        choices=_under("serve/", metadata),
        catalogues=_under("catalogue/", metadata),
        personal=_under("personal/", tensors),
        weights={task: float(weight) for task, weight in _under("weight/", metadata).items()},
        evidence=_under("evidence/", tensors),
    )


def _round_file(folder: Path, fingerprint: str, lineage: str) -> Path:
    """A lineage is a name from elsewhere, so it never becomes part of a path itself."""
    training = hashlib.sha256(f"{fingerprint}/{lineage}".encode()).hexdigest()
    return folder / "rounds" / f"{training[:32]}.safetensors"


def _forget_idle(folder: Path) -> None:
    newest_first = sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
    for path in newest_first[KEPT_TRAININGS:]:
        path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    try:
        tensors, metadata = read_tensors(path)
    except FileNotFoundError:
        return None
    if metadata.get("version") != VERSION:
        raise StateError(
            f"{path} has version {metadata.get('version')!r} of the state format, this is {VERSION}. "
            "Keep it, and use the version that wrote it."
        )
    return tensors, metadata


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies: what is read is a part of the mapped file, and would keep it, and the reply in it."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _prefixed(prefix: str, mapping: Mapping[str, T]) -> dict[str, T]:
    return {f"{prefix}{name}": value for name, value in mapping.items()}


def _under(prefix: str, mapping: Mapping[str, T]) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in mapping.items() if name.startswith(prefix)}
