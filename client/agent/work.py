"""The agent's work: one question at a time, in a thread of its own.

Guarantees (`tests/client/agent/test_work.py`):
    * Work once begun goes on to its end, whoever waits for it or no longer does.
    * The same question asked meanwhile joins the work and gets the same answer; another one is told to wait.
    * Through the node's socket no release comes back that another one replaced.
    * Whoever sends again what was answered costs the merchant neither work nor disk: a round has one line in
      the journal for every process that answered it, and a release that is served is not fitted anew.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from shared_model.errors import FedbazaarError, Refused
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

from .guard import Pace, Terms
from .record import Record, evidence, history, now


class Working(Protocol):
    """What the agent needs of a merchant (`client.merchant.Merchant`)."""

    def describe(self) -> Any:
        """Return its public facts."""

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round and return the answer."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        """Take over released parameters and return what is served per task."""


LastRound = Callable[[str, str], int]
"""`last_round(fingerprint, lineage)` is the last round that is stored of a training; 0 for none."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    instruction: Instruction
    since: str
    answer: "Future[Any]"


class Agent:
    """A merchant at work behind a socket. Methods may be called from any thread."""

    def __init__(
        self,
        merchant: Working,
        terms: Terms,
        record: Record,
        *,
        last_round: LastRound,
        worked_before: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to take questions.

        Args:
            merchant: Does the work.
            terms: Of the contract.
            record: Notes what was done.
            last_round: What is stored, asked once per training.
            worked_before: Whether any round is stored (`guard.Pace`).
            clock: Seconds that only grow.
        """
        self.described = merchant.describe()
        self.terms, self.record = terms, record
        self._merchant = merchant
        self._last_round = last_round
        self._last: dict[tuple[str, str], int] = {}
        self._listed: dict[tuple[str, str], int] = {}
        self._served: Instruction | None = None
        self._pace = Pace(terms.pace_seconds, worked_before=worked_before, clock=clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._adoptions = [line["digest"] for line in record.lines() if line["event"] == "adopted"]

    def train(self, instruction: Instruction, arrays: SharedArrays) -> "Future[Answer]":
        """Return the future answer to a round. The instruction passed `guard.check`, the arrays are its own.

        Raises:
            Refused: `BUSY`: another question is at work.
        """
        return self._begun(instruction, lambda: self._trained(instruction, arrays))

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> "Future[None]":
        """Return the future end of an adoption (conditions and errors as in `train`).

        A release that a later adoption replaced is refused: whoever holds the node's socket may have kept it.
        What goes wrong while heads are fitted is noted for the owner and is no error here: rows decide it,
        and whoever made the release might have made it so that a certain row does.
        """
        return self._begun(instruction, lambda: self._received(instruction, arrays))

    def adopt_for_owner(self, instruction: Instruction, arrays: SharedArrays) -> "Future[None]":
        """Return the future end of an adoption that the merchant itself wants, of an older release too."""
        return self._begun(instruction, lambda: self._adopted(instruction, arrays))

    def status(self) -> dict[str, Any]:
        """Return what the owner may know, as JSON values: the past (`record.history`) and what is at work."""
        facts = self.described
        return {
            "merchant": facts.name,
            "tier": facts.tier,
            "tasks": sorted(facts.tasks),
            "role": facts.role,
            "process": os.getpid(),
            "at_work": self._at_work(),
            **history(self.record.lines()),
        }

    def close(self) -> None:
        """Wait for the work at hand and take no more."""
        self._thread.shutdown()

    def _begun(self, instruction: Instruction, work: Callable[[], Any]) -> "Future[Any]":
        with self._lock:
            job = self._job
            if job is not None and not job.answer.done():
                if job.instruction == instruction:
                    return job.answer
                raise Refused(Refusal.BUSY, f"round {job.instruction.round} is at work since {job.since}")
            answer = self._thread.submit(self._noted, instruction, work)
            self._job = _Job(instruction=instruction, since=now(), answer=answer)
        answer.add_done_callback(self._forget)
        return answer

    def _forget(self, answer: "Future[Any]") -> None:
        """Let go of an answer that was given: whoever waits for it holds it."""
        with self._lock:
            if self._job is not None and self._job.answer is answer:
                self._job = None

    def _at_work(self) -> dict[str, Any] | None:
        with self._lock:
            job = self._job
        if job is None:
            return None
        asked = job.instruction
        return {"kind": asked.kind, "lineage": asked.lineage, "round": asked.round, "since": job.since}

    def _noted(self, instruction: Instruction, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            code = self.record.refuse(instruction.kind, error, instruction)
            raise Refused(code, "see the journal") from None

    def _trained(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        last = self._stored(instruction)
        is_new = instruction.round > last
        began = self._pace.next_round() if is_new else None
        answer = self._merchant.train(instruction, arrays)
        training = instruction.fingerprint, instruction.lineage
        self._last[training] = instruction.round
        if began is not None:
            self._pace.began(began)
        if self._listed.get(training) != instruction.round:
            self.record.note(
                "trained" if is_new else "repeated",
                lineage=instruction.lineage,
                round=instruction.round,
                digest=instruction.digest,
            )
            self._listed[training] = instruction.round
        return answer

    def _received(self, instruction: Instruction, arrays: SharedArrays) -> None:
        try:
            self._adopted_once(instruction, arrays)
        except (FedbazaarError, OSError):
            raise
        except Exception as error:
            self.record.refuse("adopt", error, instruction)

    def _adopted_once(self, instruction: Instruction, arrays: SharedArrays) -> None:
        if instruction == self._served:
            return
        if instruction.digest in self._adoptions[:-1] and instruction.digest != self._adoptions[-1]:
            raise Refused(
                Refusal.ROUND,
                "this release was adopted before and replaced by another; `fedbazaar-client adopt` goes back",
            )
        self._adopted(instruction, arrays)

    def _adopted(self, instruction: Instruction, arrays: SharedArrays) -> None:
        accepted = self._merchant.adopt(instruction, arrays)
        self.record.note(
            "adopted",
            lineage=instruction.lineage,
            round=instruction.round,
            digest=instruction.digest,
            tasks=evidence(accepted),
        )
        self._adoptions.append(instruction.digest)
        self._served = instruction

    def _stored(self, instruction: Instruction) -> int:
        training = instruction.fingerprint, instruction.lineage
        if training not in self._last:
            self._last[training] = self._last_round(*training)
        return self._last[training]
