"""One merchant: its data, its model, its heads, and the four things it does when asked.

In a simulation the ClientApp calls a `Merchant` directly; deployed, it calls a stub with the same methods.
The merchant cannot tell the difference.
"""

import hashlib
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from shared_model import precision, schema
from shared_model.errors import DataError, Refused
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import from_arrays, hand_over, load, refill, take
from shared_model.precision import PRECISIONS, Precision
from shared_model.protocol import Answer, Instruction, Kind, Refusal, SharedArrays, digest, problem_with
from shared_model.row_blocks import schedule_of, shapes_in, travelling

from . import acceptance, serving, streams
from .config import MerchantConfig, load_merchant
from .contestants import Contestants, contestants
from .data.dataset import Dataset, prepare
from .data.examples import Split
from .evaluation import evaluate
from .personalization import METHODS
from .personalization.start import Start
from .rounds import Trained, rounds_for
from .state import RoundState, ServingState, load_round, load_serving, save_round, save_serving


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A round that a merchant accepted: what it trains from.

    Attributes:
        instruction: What was asked.
        start: The round's shared parameters, float32.
        local: The parameters that stay, as the last round left them.
        tables: Of which some rows travel in this round (`shared_model.row_blocks`), whole.
        memory: What the last round of this training remembered (`client.rounds.Trained.memory`).
    """

    instruction: Instruction
    start: SharedArrays
    local: Mapping[str, Tensor]
    tables: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a merchant says of itself: public facts only.

    Attributes:
        name: The merchant's.
        tier: The size class of the contract that it declares.
        tasks: Common tasks whose shared prior it trains.
        role: `train`, or `receive` where it gets the released model only.
    """

    name: str
    tier: str
    tasks: frozenset[str]
    role: schema.Role = "train"


class Merchant:
    """A merchant at work. Methods may be called from any thread, one at a time.

    Guarantees:
        * `train` returns the shared parameters and nothing else; a head never leaves
          (`tests/client/test_merchant.py`).
        * A reply is on the disk before it is returned; the same round asked again returns the same bytes
          without training again.
        * A failed call changes nothing that a later call sees.
    """

    def __init__(
        self,
        config: MerchantConfig,
        federation: schema.Federation,
        dataset: Dataset,
        *,
        seed: int | None = None,
    ) -> None:
        """Put a merchant to work.

        Args:
            config: Its `merchant.toml`.
            federation: The contract.
            dataset: Its encoded rows.
            seed: Makes every draw reproducible, for simulations; drawn from the system by default.
        """
        self.config, self.federation, self.dataset = config, federation, dataset
        self._seed = seed
        self.rounds = rounds_for(config, federation, dataset, self.stream, seed=seed)
        self._precision = PRECISIONS[federation.federation.precision]
        self._lock = threading.Lock()
        self._model = self._build()
        self._whole = {name: parameter.shape for name, parameter in self._model.named_parameters()}
        self._first_local = take(self._model, self._model.local_parameters())
        self._catalogues = {task: _digest_of(items) for task, items in dataset.catalogues.items()}
        self._shapes = {
            n: array.shape for n, array in hand_over(self._model, self._model.shared_parameters()).items()
        }
        self._schedule = schedule_of(federation)

    @classmethod
    def open(cls, path: Path, contract: Path, *, seed: int | None = None) -> "Merchant":
        """Return the merchant whose `merchant.toml` is at `path`, under the contract at `contract`.

        Raises:
            ConfigError: One of the files says something that is not allowed.
            DataError: The shop's data cannot be used.
        """
        federation = schema.load_federation(contract)
        config = load_merchant(path, federation)
        return cls(config, federation, prepare(config, federation), seed=seed)

    def describe(self) -> Description:
        """Return the public facts about this merchant."""
        tasks = frozenset(t for t in self.rounds.tasks() if self._model.head(t).is_shared)
        return Description(name=self.config.name, tier=self.config.tier, tasks=tasks, role=self.config.role)

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round from `arrays` and return the answer: the new shared parameters, or their change.

        Rounds follow one another. One that was missed may be skipped, since a merchant that was too slow
        for a deadline must be able to come back, where the coordinator says so: it names the last round for
        which it holds an answer. Where this merchant never gave that answer, its state is an old copy, or
        somebody answers in its name; the round is refused.

        Args:
            instruction: Which round of which training of which contract.
            arrays: The round's shared parameters, in the contract's precision (`shared_model.precision`).

        Raises:
            FingerprintMismatch: The instruction belongs to another contract.
            Refused: The arrays or the round are not acceptable, or another round is at work; the error's
                code says which. Nothing was changed.
        """
        if not self._lock.acquire(blocking=False):
            raise Refused(Refusal.BUSY, "another round is at work")
        try:
            opened = self.open_round(instruction, arrays)
            return opened if isinstance(opened, Answer) else self._trained(opened)
        finally:
            self._lock.release()

    def open_round(self, instruction: Instruction, arrays: SharedArrays) -> Answer | Opened:
        """Return what a round trains from, or the answer that was given to it before (as `train`)."""
        self._check(instruction, arrays, "train", self._precision)
        last = self._stored(instruction)
        own = last.round if last is not None else 0
        if not instruction.answered <= own < instruction.round:
            self.rounds.check(instruction)
            return self._repeated(instruction, last)
        start = precision.rounded(arrays, PRECISIONS["float32"])
        return Opened(
            instruction=instruction,
            start=start,
            local=self._local_of(last),
            tables=self._tables(start, self._schedule.rows(instruction.round), last),
            memory=last.memory if last is not None else {},
        )

    def close_round(
        self, opened: Opened, shared: SharedArrays, local: Mapping[str, Tensor], told: Trained
    ) -> Answer:
        """Store what a round left, and return the answer.

        Args:
            opened: What it was trained from.
            shared: The trained shared parameters, float32.
            local: The parameters that stay.
            told: What else it left.

        Raises:
            Refused: A number is not finite; nothing was stored.
        """
        instruction = opened.instruction
        trained = travelling(shared, self._schedule.rows(instruction.round))
        by_chance = streams.uniform(
            partial(self.stream, f"rounding/{instruction.lineage}", instruction.round)
        )
        reply = precision.encoded(trained, opened.start, self._precision, by_chance)
        problem = precision.problem_with(reply, self._shapes_in(instruction), self._precision)
        if problem or (problem := _not_finite(local)):
            raise Refused(Refusal.FAILED, f"training diverged: {problem}. Lower local.learning_rate.")
        reply |= told.extra
        state = RoundState(
            fingerprint=instruction.fingerprint,
            lineage=instruction.lineage,
            round=instruction.round,
            digest=instruction.digest,
            local=local,
            reply={name: torch.from_numpy(array) for name, array in reply.items()},
            catalogues=self._catalogues,
            ledger=told.ledger,
            memory=told.memory,
            tables=opened.tables,
        )
        save_round(self.config.state, state)
        return Answer(reply, told.ledger)

    def check_release(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Refuse what is no release of this contract; rows have no say (errors as in `adopt`)."""
        self._check(instruction, arrays, "adopt", PRECISIONS["float32"])

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> dict[str, acceptance.Accepted]:
        """Take over released shared parameters: make the candidates, choose what is served, store both.

        Args:
            instruction: Which training of which contract they come from.
            arrays: The released shared parameters, float32.

        Returns:
            What is served for every task, and the evidence. It stays at the merchant.

        Raises:
            FingerprintMismatch: They belong to another contract.
            Refused: The arrays are not those of the contract, or not those that the instruction names.
        """
        self.check_release(instruction, arrays)
        state, accepted = serving.adopted(
            self.contestants(instruction, arrays, self.config.serve.candidates),
            self.federation,
            policy=self.config.serve.accept,
            catalogues=self._catalogues,
            before=self._adopted(),
        )
        save_serving(self.config.state, state)
        return accepted

    def contestants(
        self, instruction: Instruction, arrays: SharedArrays, wanted: Collection[str]
    ) -> Contestants:
        """Return the candidates of a release, as `adopt` judges them; nothing is stored.

        Args:
            instruction: As in `adopt`.
            arrays: As in `adopt`, checked.
            wanted: Names, as in `client.merchant_file.Serving.candidates`.
        """
        model = self._build()
        from_arrays(model, arrays)
        local = self._local_of(self._stored(instruction))
        load(model, {name: tensor for name, tensor in local.items() if not name.startswith("heads.")})
        before = self._adopted()
        kept = {} if before is None else self._fitting(before.personal_model("ditto"), before.catalogues)
        start = Start(
            model=model,
            dataset=self.dataset,
            strength=self.config.serve.pull,
            generator=self.stream("personal", instruction.round),
            before=kept,
        )
        return contestants(start, self.federation, wanted)

    def evaluate(self, split: Split = "validation", *, prior: bool = False) -> dict[str, dict[str, float]]:
        """Return the measures of the adopted federated model on one split. They stay at the merchant.

        Args:
            split: `train`, `validation` or `test`.
            prior: Judge the shared prior alone instead.

        Raises:
            DataError: Nothing was adopted yet.
        """
        return evaluate(self.served().federated, self.dataset, split, own=not prior)

    def serve(self, task: str, rows: Tensor) -> Tensor:
        """Return the served logits of one task for `rows`, shape (B, O): of whichever model was accepted.

        For the choice of an item the floor is served once the catalogue is another one than the head was
        fitted for.

        Raises:
            DataError: Nothing was adopted yet, or nothing for this task.
        """
        return self.served().logits(task, rows)

    def _build(self) -> MultiTaskModel:
        """The two files alone decide which heads there are: which tasks have labels is for nobody to see."""
        wanted = self.config.tasks
        return build(
            self.federation,
            generator=self.stream("initial", 0),
            own_tasks={t: wanted[t] for t in self.config.own_tasks},
            alone=self.config.alone(self.federation),
            catalogues={task: len(items) for task, items in self.dataset.catalogues.items()},
            domain=self.config.domain,
        )

    def _check(self, instruction: Instruction, arrays: SharedArrays, kind: Kind, agreed: Precision) -> None:
        instruction.check_fingerprint(self.federation.fingerprint)
        if instruction.kind != kind:
            raise Refused(Refusal.RECIPIENT, f"an instruction to {instruction.kind} asks for no {kind}")
        planned = self.federation.federation.rounds
        if not 1 <= instruction.round <= planned:
            raise Refused(Refusal.ROUND, f"round {instruction.round} is not one of the {planned} planned")
        if problem := problem_with(arrays, self._shapes_in(instruction), agreed.down):
            raise Refused(Refusal.ARRAYS, problem)
        if digest(arrays) != instruction.digest:
            raise Refused(Refusal.ARRAYS, "the arrays are not those that the instruction names")

    def _repeated(self, instruction: Instruction, last: RoundState | None) -> Answer:
        """Return the answer that was given to this round; refuse one that does not follow from the last."""
        own = last.round if last is not None else 0
        if instruction.round < own:
            raise Refused(Refusal.ROUND, f"round {instruction.round} lies behind round {own}")
        if instruction.answered > own or last is None:
            raise Refused(
                Refusal.ROUND,
                f"the coordinator holds an answer of {self.config.name} for round {instruction.answered}, "
                f"{self.config.state} knows of none after round {own}: it is an older copy, or somebody "
                "answers in this merchant's name",
            )
        if last.digest != instruction.digest:
            raise Refused(Refusal.CONFLICT, f"round {last.round} was already answered for other arrays")
        return Answer({name: tensor.numpy() for name, tensor in last.reply.items()}, last.ledger)

    def _stored(self, instruction: Instruction) -> RoundState | None:
        return load_round(self.config.state, instruction.fingerprint, instruction.lineage)

    def _trained(self, opened: Opened) -> Answer:
        rows = self._schedule.rows(opened.instruction.round)
        load(self._model, opened.local)
        whole = {n: torch.from_numpy(a.copy()) for n, a in opened.start.items() if n not in rows}
        refill(self._model, {**whole, **{name: table.clone() for name, table in opened.tables.items()}})
        del whole
        try:
            told = self.rounds.train(self._model, opened.instruction, opened.memory)
        finally:
            shared = hand_over(self._model, self._model.shared_parameters())
        return self.close_round(opened, shared, take(self._model, self._model.local_parameters()), told)

    def _shapes_in(self, instruction: Instruction) -> dict[str, tuple[int, ...]]:
        """Return the shapes of what travels with an instruction; a release is always whole."""
        rows = self._schedule.rows(instruction.round) if instruction.kind == "train" else {}
        return shapes_in(self._shapes, rows)

    def _tables(
        self, start: SharedArrays, rows: Mapping[str, slice], last: RoundState | None
    ) -> dict[str, Tensor]:
        """Return the tables of which some rows travel, each row as it last came; zero where it never did."""
        tables = {}
        for name, part in rows.items():
            before = last.tables.get(name) if last is not None else None
            tables[name] = torch.zeros(self._shapes[name]) if before is None else before.clone()
            tables[name][part] = torch.from_numpy(start[name])
        return tables

    def _local_of(self, last: RoundState | None) -> Mapping[str, Tensor]:
        """Return the parameters that stay, as the last round left them; before the first, as they began.

        Those that no longer fit, since the shop has other tasks or another catalogue now, begin again.
        """
        kept = self._fitting(last.local, last.catalogues) if last is not None else {}
        return {**self._first_local, **kept}

    def _fitting(self, stored: Mapping[str, Tensor], catalogues: Mapping[str, str]) -> dict[str, Tensor]:
        """Return those of `stored` that still mean what they meant when they were stored."""
        shapes = self._whole
        outdated = tuple(f"heads.{task}.own." for task in self._outdated(catalogues))
        return {n: t for n, t in stored.items() if shapes.get(n) == t.shape and not n.startswith(outdated)}

    def _outdated(self, catalogues: Mapping[str, str]) -> frozenset[str]:
        """Return the retrieval tasks whose items, or their order, are others than in `catalogues`."""
        return frozenset(task for task, now in self._catalogues.items() if catalogues.get(task) != now)

    def served(self) -> serving.Served:
        """Return what is served at this moment, ready to answer many questions.

        It is read anew, since another process may have adopted since.

        Raises:
            DataError: Nothing was adopted yet.
        """
        state = self._adopted()
        if state is None:
            raise DataError(
                f"{self.config.state}: no model of this contract was adopted yet; join a federation first."
            )
        stored = {"federated": {**state.shared, **state.heads}}
        stored |= {name: state.personal_model(name) for name in METHODS if state.personal_model(name)}
        models = {name: self._build() for name in stored}
        for name, tensors in stored.items():
            load(models[name], self._fitting(tensors, state.catalogues))
        return serving.Served(state, models, self.federation, self.dataset, self._outdated(state.catalogues))

    def _adopted(self) -> ServingState | None:
        """Return what was adopted last under this contract."""
        state = load_serving(self.config.state)
        return state if state is not None and state.fingerprint == self.federation.fingerprint else None

    def stream(self, purpose: str, number: int) -> torch.Generator:
        """Return a generator of its own for one purpose; from the system where no seed was given."""
        return streams.stream(self._seed, self.config.name, purpose, number)


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    return next((f"not finite {name}" for name, t in tensors.items() if not t.isfinite().all()), None)


def _digest_of(items: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(items).encode()).hexdigest()
