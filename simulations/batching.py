"""Questions to many merchants in few messages: what they have in common travels once.

A node of Flower's simulation stands for no merchant here but for a worker, which asks a grid of its own
(`worker_app`). To the coordinator it looks as if every merchant had a node: it sees one reply of each.
Besides the types of the interface, the one use of private Flower API is the id of a message.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from server.streaming import WrappedGrid

from .in_process import Node

_BATCH, _COMMON = "batch", "common"
"""Of a batch: the record that says whose records the others are; the prefix of records that all have."""

Record = ArrayRecord | ConfigRecord | MetricRecord


class BatchedGrid(WrappedGrid):
    """Another grid, whose nodes each get the questions of several merchants at once.

    Guarantees:
        * Every question has its own reply; where a worker fails, all questions that it had fail, with the
          same error code.
        * Arrays that questions share travel once for each worker.
        (`tests/simulations/test_batching.py`)
    """

    def __init__(self, grid: Grid, merchants: int) -> None:
        """Show nodes 1 to `merchants` instead of the nodes of `grid`, which are workers."""
        super().__init__(grid)
        self._nodes = range(1, merchants + 1)
        self._sent: dict[str, list[Message]] = {}
        self._arrived: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all merchants' nodes; of none before there is a worker."""
        return list(self._nodes) if list(self._grid.get_node_ids()) else []

    def get_nodes(self) -> Iterable[Node]:
        """Return all merchants' nodes."""
        return [Node(node_id=node) for node in self.get_node_ids()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send questions, about as many to every worker."""
        questions, workers = list(messages), sorted(self._grid.get_node_ids())
        for position, (worker, batch) in enumerate(_spread(questions, workers)):
            first = batch[0].metadata
            kind = f"{first.message_type}.{_BATCH}"
            sent = Message(packed(batch), worker, kind, group_id=first.group_id, ttl=first.ttl)
            [identity] = self._grid.push_messages([sent])
            for number, question in enumerate(batch):
                question.metadata.__dict__["_message_id"] = f"{identity}/{position}.{number}"
            self._sent[identity] = batch
        return [question.metadata.message_id for question in questions]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these questions that have arrived."""
        wanted = list(message_ids)
        batches = {identity.partition("/")[0] for identity in wanted if identity not in self._arrived}
        for reply in self._grid.pull_messages([identity for identity in batches if identity in self._sent]):
            questions = self._sent.pop(reply.metadata.reply_to_message_id)
            for answer in _answers(questions, reply):
                self._arrived[answer.metadata.reply_to_message_id] = answer
        return [self._arrived.pop(identity) for identity in wanted if identity in self._arrived]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Whoever wants replies as they come wraps this grid (`server.streaming.StreamingGrid`)."""
        raise NotImplementedError("Wrap a BatchedGrid in a StreamingGrid.")


def worker_app(grid: Callable[[], Grid]) -> ClientApp:
    """Return the ClientApp of a worker, whose merchants `grid` reaches, in the order of their nodes."""
    app = ClientApp()

    @app.train(_BATCH)
    def train(message: Message, context: Context) -> Message:
        return _answered(message, grid())

    @app.query(_BATCH)
    def query(message: Message, context: Context) -> Message:
        return _answered(message, grid())

    return app


def packed(questions: Sequence[Message]) -> RecordDict:
    """Return the content of one message with all questions; arrays of the same bytes are in it once."""
    common = _common([question.content for question in questions])
    content = RecordDict({f"{_COMMON}.{key}": record for key, record in common.items()})
    for number, question in enumerate(questions):
        for key, record in question.content.items():
            if key not in common:
                content[f"{number}.{key}"] = record
    content[_BATCH] = ConfigRecord({"nodes": [q.metadata.dst_node_id for q in questions]})
    return content


def unpacked(content: RecordDict) -> list[tuple[int, RecordDict]]:
    """Return what `packed` put together: of every question the node and the content."""
    return [(node, _part(content, number)) for number, node in enumerate(_numbers(content, "nodes"))]


def _answered(message: Message, grid: Grid) -> Message:
    kind, group = message.metadata.message_type.partition(".")[0], message.metadata.group_id
    nodes = list(grid.get_node_ids())
    questions = [
        grid.create_message(content, kind, nodes[node - 1], group)
        for node, content in unpacked(message.content)
    ]
    places: dict[str, int] = {}
    content, codes = RecordDict(), [0] * len(questions)
    for reply in grid.send_and_receive(questions):
        places = places or {
            q.metadata.message_id: n for n, q in enumerate(questions)
        }  # ids come with sending
        number = places.pop(reply.metadata.reply_to_message_id)
        if reply.has_error():
            codes[number] = reply.error.code
            continue
        for key, record in reply.content.items():
            content[f"{number}.{key}"] = record
    content[_BATCH] = ConfigRecord({"codes": codes})
    return Message(content, reply_to=message)


def _answers(questions: list[Message], reply: Message) -> Iterator[Message]:
    """Yield the reply to every question of a batch."""
    if reply.has_error():
        yield from (Message(Error(reply.error.code), reply_to=question) for question in questions)
        return
    for number, (question, code) in enumerate(zip(questions, _numbers(reply.content, "codes"), strict=True)):
        if code:
            yield Message(Error(code), reply_to=question)
        else:
            yield Message(_part(reply.content, number), reply_to=question)


class _Kind(NamedTuple):
    """Questions that can be one message."""

    type: str
    group: str


def _spread(questions: list[Message], workers: list[int]) -> Iterator[tuple[int, list[Message]]]:
    """Yield for workers, one after another, about as many questions each, all of one kind."""
    kinds = groupby(questions, lambda q: _Kind(q.metadata.message_type, q.metadata.group_id))
    for _, found in kinds:
        alike = list(found)
        share = -(-len(alike) // len(workers))
        batches = [alike[first : first + share] for first in range(0, len(alike), share)]
        yield from zip(workers, batches, strict=False)


def _common(contents: Sequence[RecordDict]) -> Mapping[str, ArrayRecord]:
    """Return the array records that are the same in all of some contents."""
    first, *others = contents
    return {
        key: record
        for key, record in first.items()
        if isinstance(record, ArrayRecord) and all(other.get(key) == record for other in others)
    }


def _part(content: RecordDict, number: int) -> RecordDict:
    """Return the records of one question or reply."""
    prefixes = (f"{_COMMON}.", f"{number}.")
    return RecordDict(
        {key.partition(".")[2]: record for key, record in content.items() if key.startswith(prefixes)}
    )


def _numbers(content: RecordDict, key: str) -> list[int]:
    record = content[_BATCH]
    found = record[key] if isinstance(record, ConfigRecord) else None
    if not isinstance(found, list):
        raise TypeError(f"Expected a list of {key} in a batch.")
    return [int(number) for number in found]
