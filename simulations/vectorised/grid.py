"""A Flower grid whose merchants train together where that is faster.

Strategy, coordinator, checkpoints and the record of what was sent are those of every other grid: questions
arrive as messages, one per merchant, and every merchant answers with one of its own.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from flwr.app import ArrayRecord, Message, MessageType
from flwr.clientapp import ClientApp
from torch import Tensor

from client.app import refused
from client.merchant import Opened
from shared_model import npy, schema
from shared_model.errors import ProtocolError
from shared_model.memory import keep_freed_memory
from shared_model.protocol import ARRAYS, INSTRUCTION, Answer, Instruction, Report, SharedArrays

from ..engines import Engine
from ..in_process import InProcessGrid, NodeConfig
from ..replies import reply_to
from .choice import Choice, Size, choose, obstacle, size_of
from .cohort import Entrant, trained
from .draws import Draw, Drawing, trained_tasks
from .groups import Group, group_of, obstacle_of_items
from .shops import Key, Shop


class _Question(NamedTuple):
    """A message to a merchant that trains."""

    message: Message
    shop: Shop


class _Begun(NamedTuple):
    """A round that a merchant has begun."""

    question: _Question
    opened: Opened
    draw: Draw | None
    ledger: str


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How the merchants of one group trained, for reports.

    Attributes:
        merchants: How many were asked in a round.
        choice: What was chosen, and why.
    """

    merchants: int
    choice: Choice


class VectorisedGrid(InProcessGrid):
    """An `InProcessGrid` that trains merchants of one structure as cohorts.

    Guarantees:
        * Every merchant is asked, checked and answered for by itself; one that refuses, or whose training
          diverges, stops nobody else.
        * What a merchant draws is what it would draw alone.
        * At most one reply is alive at a time, however many merchants there are.
        (`tests/simulations/vectorised/test_grid.py`)

    Merchants of a cohort have no deadline of their own: time is simulated, and none of them can hang.

    Attributes:
        ran: How merchants trained, in the order in which that was chosen.
    """

    def __init__(
        self,
        app: ClientApp,
        nodes: Mapping[str, NodeConfig],
        *,
        federation: schema.Federation,
        shops: Mapping[str, Shop],
        engine: Engine = "auto",
    ) -> None:
        """Make a node for each name in `nodes`.

        Args:
            app: Answers everything but questions to train, and those too where merchants do not train
                together.
            nodes: Name -> node config.
            federation: The contract.
            shops: Merchants that can train together, by name; looked up when they are first asked to.
            engine: `auto` chooses by a formula (`choice.py`).
        """
        super().__init__(app, nodes)
        keep_freed_memory()
        self._federation, self._engine = federation, engine
        self._shops = shops
        self._drawings: dict[Key, Drawing] = {}
        self._known: dict[Key, tuple[str | None, Size]] = {}
        self._chosen: dict[tuple[Group, int], Choice] = {}
        self._received: tuple[ArrayRecord, SharedArrays] = (ArrayRecord(), {})

    @property
    def ran(self) -> tuple[Ran, ...]:
        """See the class."""
        return tuple(Ran(merchants=m, choice=choice) for (_, m), choice in self._chosen.items())

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield replies, cohort by cohort and then of those who answer one after another.

        Args:
            messages: All are numbered before the first is delivered.
            timeout: Seconds that a merchant has who does not train in a cohort; None for no limit.
        """
        alone: list[Message] = []
        together: dict[Group, list[_Question]] = {}
        for message in [self._numbered(message) for message in messages]:
            shop = self._shop_for(message)
            if shop is None:
                alone.append(message)
            else:
                group = group_of(shop, self._judged(shop.key)[1].choices)
                together.setdefault(group, []).append(_Question(message, shop))
        for group, questions in together.items():
            choice = self._choice(group, len(questions))
            if not choice.together:
                alone += [question.message for question in questions]
                continue
            tasks = [task for task, _ in group.places]
            questions.sort(key=lambda question: _extent(question.shop, tasks))  # leaves few empty places
            for first in range(0, len(questions), choice.size):
                yield from self._trained(group.key, questions[first : first + choice.size])
        self._received = (ArrayRecord(), {})  # or the round's start would outlive the round
        yield from self._one_by_one(alone, timeout)

    def _shop_for(self, message: Message) -> Shop | None:
        """Return the merchant that a message asks to train, where it can train with others."""
        node = message.metadata.dst_node_id
        if message.metadata.message_type != MessageType.TRAIN or not self._is_reachable(node):
            return None
        try:
            return self._shops.get(self._names[node])
        except Exception:  # it cannot be opened, of which its app will give account
            return None

    def _choice(self, group: Group, merchants: int) -> Choice:
        if (group, merchants) not in self._chosen:
            why_not, size = self._judged(group.key)
            if group.places:
                why_not = why_not or obstacle_of_items(group, self._rows)
                size = size.with_items(dict(group.places), self._rows)
            chosen = choose(self._engine, self._federation, why_not, size, merchants)
            self._chosen[group, merchants] = chosen
        return self._chosen[group, merchants]

    @cached_property
    def _rows(self) -> int:
        """The most rows of a step."""
        if self._federation.federation.full_batch:
            return max((shop.rows for shop in self._shops.values()), default=0)
        return self._federation.federation.expected_batch

    def _judged(self, key: Key) -> tuple[str | None, Size]:
        """Return what stands against cohorts and how large the model is; models may be big, so once."""
        if key not in self._known:
            model = key.structure.model(self._federation)
            trained = trained_tasks(model, key.structure.specs, key.tasks or None)
            self._known[key] = obstacle(self._federation, model), size_of(model, trained)
        return self._known[key]

    def _drawing(self, key: Key) -> Drawing:
        if key not in self._drawings:
            self._drawings[key] = Drawing(
                self._federation, key.structure, tier=key.tier, tasks=key.tasks or None
            )
        return self._drawings[key]

    def _trained(self, key: Key, questions: Sequence[_Question]) -> Iterator[Message]:
        """Yield the replies of one cohort."""
        drawing = self._drawing(key)
        begun: list[_Begun] = []
        for question in questions:
            found = self._begun(question, drawing)
            if isinstance(found, Message):
                yield found
            else:
                begun.append(found)
        entrants = [(b, Entrant(draw=b.draw, local=b.opened.local)) for b in begun if b.draw is not None]
        if entrants:
            shared = _tensors(begun[0].opened.start)
            stack = trained(drawing, shared, [entrant for _, entrant in entrants])
            stays = drawing.trained_local
            for position, (one, _) in enumerate(entrants):
                yield _closed(one, stack.arrays(position), {n: stack.of(position, n).clone() for n in stays})
        for one in begun:
            if one.draw is None:
                yield _closed(one, dict(one.opened.start), {})

    def _begun(self, question: _Question, drawing: Drawing) -> "_Begun | Message":
        try:
            told = question.message.content[INSTRUCTION]
            instruction = Instruction.from_mapping({**told})
            opened = question.shop.open_round(instruction, self._arrays(question.message))
            if isinstance(opened, Answer):
                return _reply(question.message, instruction, opened)
            draw, ledger = question.shop.draw(opened, drawing)
            return _Begun(question, opened, draw, ledger)
        except Exception as error:
            return refused(question.message, error)

    def _arrays(self, message: Message) -> SharedArrays:
        """Return the arrays of a message; those of a round, which share their bytes, are read once."""
        record, (known, arrays) = message.content[ARRAYS], self._received
        if not isinstance(record, ArrayRecord):
            raise ProtocolError(f"Expected arrays under {ARRAYS}.")
        if record.keys() != known.keys() or any(record[n].data is not known[n].data for n in record):
            arrays = {n: npy.read(n, array.data) for n, array in record.items()}
            self._received = record, arrays
        return arrays


def _extent(shop: Shop, tasks: Sequence[str]) -> tuple[int, int]:
    """Return how many places a merchant takes: items that it chooses among, and rows."""
    return sum(shop.catalogues.get(task, 1) for task in tasks), shop.rows


def _closed(begun: _Begun, shared: SharedArrays, local: Mapping[str, Tensor]) -> Message:
    """Return a merchant's reply; it has its state by then. `shared` is used up."""
    message, shop = begun.question
    try:
        answer = shop.close_round(begun.opened, shared, local, begun.ledger)
        shared.clear()  # or its arrays would stay while they are written into the reply
        return _reply(message, begun.opened.instruction, answer)
    except Exception as error:
        return refused(message, error)


def _reply(message: Message, instruction: Instruction, answer: Answer) -> Message:
    report = Report(lineage=instruction.lineage, round=instruction.round, ledger=answer.ledger)
    return reply_to(message, report, answer.arrays)


def _tensors(arrays: SharedArrays) -> dict[str, Tensor]:
    with warnings.catch_warnings():  # torch warns of read-only memory; nothing here writes to it
        warnings.simplefilter("ignore", UserWarning)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
