"""Make a finished run again in a fresh directory beside it, and compare the results bit for bit.

What stands in the way is found before any time is spent: an unfinished run, a changed copy, data that are
gone or another file now. Another version or machine stands in no way; it is named, since it may be why bits
differ.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import torch

from shared_model import files
from shared_model.errors import StateError

from ..runner import Progress
from . import manifest, recording, results
from .environment import environment
from .manifest import COPIES, Manifest
from .studies import STUDIES

FILE = "rerun.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of making a run again.

    Attributes:
        of: The run directory.
        out: The fresh one.
        identical: Every result is the same, bit for bit, and is what the run had recorded at its end.
        compared: Number of result files.
        tampered: Result files that were changed after the run ended.
        differences: What differs, in words, file by file.
        elsewhere: What computed the two runs, where it differs: name -> then and now.
    """

    of: Path
    out: Path
    identical: bool
    compared: int
    tampered: tuple[str, ...]
    differences: tuple[str, ...]
    elsewhere: dict[str, tuple[str, str]]

    @property
    def verdict(self) -> str:
        """The outcome in a sentence or two."""
        if self.identical:
            return f"Identical: {self.compared} result files are the same, bit for bit."
        if self.tampered and not self.differences:
            return "The run gives what it had recorded; files of its directory were changed after it ended."
        why = "".join(f" {name} was {then}, is {now}." for name, (then, now) in self.elsewhere.items())
        reason = why or " Nothing that is known to matter differs: this is a defect, please report it."
        return f"Not reproduced: {len(self.differences)} of {self.compared} result files differ.{reason}"


def obstacles(directory: Path) -> Iterator[str]:
    """Yield in words why a run directory cannot be reproduced; nothing where it can.

    Raises:
        ConfigError: It is not a run directory.
        StateError: Its manifest is damaged.
    """
    kept = manifest.read(directory)
    if not kept.results:
        yield "the run has not ended; `fedbazaar-sim resume` goes on with it"
    yield from kept.mixed
    if len(kept.environments) > 1:
        names = sorted({n for e in kept.environments for n in manifest.changed(kept.environments[0], e)})
        yield f"several versions or machines worked on it; they differ in {', '.join(names)}"
    for copied in kept.inputs:
        path = directory / COPIES / copied.name
        if not path.exists():
            yield f"{path} is gone"
        elif manifest.hash_of(path) != copied.sha256:
            yield f"{path} was changed since the run"
    for data in kept.data:
        path = Path(data.path)
        if not path.exists():
            yield f"the data file {path} is gone"
        elif path.stat().st_size != data.bytes or manifest.hash_of(path) != data.sha256:
            yield f"the data file {path} is another one than the run has read"


def warnings(directory: Path) -> Iterator[str]:
    """Yield in words why bits may differ although nothing stands in the way."""
    kept = manifest.read(directory)
    torch.set_num_threads(1)  # as every study does, so that the environments can be compared
    for name, (then, now) in manifest.changed(kept.environments[-1], environment()).items():
        yield f"{name} was {then}, is {now}"
    if kept.arguments.get("backend", {}).get("name") == "ray":
        yield "the run was on Ray, where replies are added in the order in which they happen to arrive"
    for name in tampered(kept, directory):
        yield f"{name} was changed after the run ended"


def tampered(kept: Manifest, directory: Path) -> tuple[str, ...]:
    """Return the result files of a directory that are not what the run left there."""
    return tuple(name for name, hashed in kept.results.items() if _digest(directory / name) != hashed)


def rerun(directory: Path, progress: Progress) -> Outcome:
    """Make a run again in a fresh directory beside it; compare, and keep the outcome in `rerun.json` there.

    Raises:
        StateError: It cannot be reproduced; says why. Nothing was run.
        ConfigError: It is not a run directory.
        FedbazaarError: As the study.
    """
    if found := list(obstacles(directory)):
        raise StateError(f"{directory} cannot be reproduced: {'; '.join(found)}.")
    kept, out = manifest.read(directory), _beside(directory)
    recording.perform(recording.asked_of(kept, directory, out=out), progress)
    outcome = compared(directory, out)
    written = {**asdict(outcome), "of": str(directory), "out": str(out), "verdict": outcome.verdict}
    files.write(out / FILE, json.dumps(written, indent=1).encode(), durable=False)
    return outcome


def compared(directory: Path, out: Path) -> Outcome:
    """Compare the results of a run with those of another one of the same study."""
    kept, fresh = manifest.read(directory), manifest.read(out)
    patterns = STUDIES[kept.study].results
    changed = tampered(kept, directory)
    names = dict.fromkeys((*kept.results, *fresh.results))
    differences = tuple(
        f"{name}: {_difference(directory / name, out / name)}"
        for name in names
        if kept.results.get(name) != fresh.results.get(name)
    )
    new = results.files_of(directory, patterns).keys() - kept.results.keys()
    return Outcome(
        of=directory,
        out=out,
        identical=not differences and not changed and not new,
        compared=len(names),
        tampered=(*changed, *sorted(new)),
        differences=differences,
        elsewhere=manifest.changed(kept.environments[-1], fresh.environments[-1]),
    )


def _difference(before: Path, now: Path) -> str:
    if not before.exists() or not now.exists():
        return "was not there" if now.exists() else "is not made again"
    try:
        found = results.shown(results.differences(results.content(before), results.content(now)))
    except StateError as error:
        return str(error)
    return found or "was changed, after the run ended, into what the rerun gives"


def _digest(path: Path) -> str:
    """Return the digest of a result file; empty where it is gone or cannot be read."""
    try:
        return results.digest(path) if path.exists() else ""
    except StateError:
        return ""


def _beside(directory: Path) -> Path:
    """Return the name of a directory that is not there yet."""
    own = directory.absolute()
    names = (own.with_name(f"{own.name}-rerun-{number}") for number in count(1))
    return next(path for path in names if not path.exists())
