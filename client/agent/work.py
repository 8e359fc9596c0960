"""The agent's work: one question at a time, in a thread of its own.

Guarantees (`tests/client/agent/test_work.py`):
    * Work once begun goes on to its end, whoever waits for it or no longer does.
    * The same question asked meanwhile joins the work and gets the same answer; another one is told to wait.
    * A release is acknowledged before it is fitted (`releases`), and what is asked meanwhile waits its turn.
    * An answer to a round, a refusal too, leaves at a moment that the contract names, where it names one.
    * Whoever sends a round again that was answered costs the merchant neither work nor disk: it has one line
      in the journal for every process that answered it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from shared_model.errors import Refused
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

from .even_pace import wait_seconds
from .guard import Pace, Terms
from .inbox import Inbox
from .record import Record, history, now
from .releases import Adopting, Releases

_log = logging.getLogger(__name__)


class Working(Adopting, Protocol):
    """What the agent needs of a merchant (`client.merchant.Merchant`)."""

    def describe(self) -> Any:
        """Return its public facts."""

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round and return the answer."""


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
        inbox: Inbox,
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
            inbox: Keeps the release that was acknowledged and is not fitted yet.
            last_round: What is stored, asked once per training.
            worked_before: Whether any round is stored (`guard.Pace`).
            clock: Seconds that only grow.

        Raises:
            StateError: The release that waits in the inbox is damaged.
        """
        self.described = merchant.describe()
        self.terms, self.record = terms, record
        self._merchant = merchant
        self._last_round = last_round
        self._last: dict[tuple[str, str], int] = {}
        self._listed: dict[tuple[str, str], int] = {}
        self._clock, self._closing = clock, threading.Event()
        self._pace = Pace(terms.pace_seconds, worked_before=worked_before, clock=clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._fit: _Job | None = None
        self._releases = Releases(merchant, record, inbox, self._later)

    def train(self, instruction: Instruction, arrays: SharedArrays) -> "Future[Answer]":
        """Return the future answer to a round. The instruction passed `guard.check`, the arrays are its own.

        Raises:
            Refused: `BUSY`: another question is at work.
        """
        asked = self._clock()
        return self._begun(
            instruction, lambda: self._in_time(asked, lambda: self._trained(instruction, arrays))
        )

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> "Future[None]":
        """Return the future acknowledgement of a release, which is there already (`Releases.receive`).

        What goes wrong while heads are fitted is noted for the owner and is no error here: rows decide it,
        and whoever made the release might have made it so that a certain row does.

        Raises:
            Refused: It is not acceptable.
            OSError: The disk is full or not writable.
        """
        self._releases.receive(instruction, arrays)
        received: Future[None] = Future()
        received.set_result(None)
        return received

    def adopt_for_owner(self, instruction: Instruction, arrays: SharedArrays) -> "Future[None]":
        """Return the future end of an adoption that the merchant itself wants, of an older release too.

        Raises:
            Refused: `BUSY`: a question is at work.
        """
        return self._begun(instruction, lambda: self._releases.adopt(instruction, arrays))

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
        self._closing.set()
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
            if self._fit is not None and self._fit.answer is answer:
                self._fit = None

    def _later(self, instruction: Instruction, work: Callable[[], None]) -> None:
        """Fit a release when it is its turn; no question is refused for it (`releases.Later`)."""
        with self._lock:
            fit = self._thread.submit(work)
            self._fit = _Job(instruction=instruction, since=now(), answer=fit)
        fit.add_done_callback(self._forget)

    def _in_time(self, asked: float, work: Callable[[], Answer]) -> Answer:
        """Do the work, and let what comes of it leave when the contract says (`even_pace`)."""
        try:
            return work()
        finally:
            taken, agreed = self._clock() - asked, self.terms.answer_seconds
            if 0 < agreed < taken:
                _log.warning("the answer took %.0f s, longer than the %g s of the contract", taken, agreed)
            self._closing.wait(wait_seconds(taken, agreed))

    def _at_work(self) -> dict[str, Any] | None:
        with self._lock:
            jobs = [job for job in (self._fit, self._job) if job is not None]
        if not jobs:
            return None
        job = min(jobs, key=lambda job: job.since)
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

    def _stored(self, instruction: Instruction) -> int:
        training = instruction.fingerprint, instruction.lineage
        if training not in self._last:
            self._last[training] = self._last_round(*training)
        return self._last[training]
