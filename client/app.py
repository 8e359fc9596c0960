"""The ClientApp: wires a message to the merchant and its answer to a reply; it computes nothing.

Guarantee: exactly one valid reply leaves for every message. Where something goes wrong it is one of the fixed
codes of `shared_model.protocol.Refusal`, without text; what happened is in the merchant's own log
(`tests/client/test_app.py`).
"""

import logging
from collections.abc import Callable

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from shared_model import npy
from shared_model.errors import FedbazaarError
from shared_model.protocol import (
    ARRAYS,
    INSTRUCTION,
    REPORT,
    Instruction,
    Report,
    SharedArrays,
)

from .agent.codes import code_of
from .reach import ReachableMerchant, merchant_for

_log = logging.getLogger(__name__)


def client_app(merchant_of: Callable[[Context], ReachableMerchant]) -> ClientApp:
    """Return a ClientApp whose merchant is found by `merchant_of`."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answered(message, lambda: _train(message, merchant_of(context)))

    @app.train("adopt")
    def adopt(message: Message, context: Context) -> Message:
        return _answered(message, lambda: _adopt(message, merchant_of(context)))

    @app.query()
    def describe(message: Message, context: Context) -> Message:
        return _answered(message, lambda: _describe(merchant_of(context)))

    return app


def _train(message: Message, merchant: ReachableMerchant) -> RecordDict:
    instruction = _instruction(message)
    answer = merchant.train(instruction, _arrays(message))
    report = Report(lineage=instruction.lineage, round=instruction.round, ledger=answer.ledger)
    return RecordDict({ARRAYS: _record(answer.arrays), REPORT: ConfigRecord(report.to_mapping())})  # type: ignore[arg-type]


def _adopt(message: Message, merchant: ReachableMerchant) -> RecordDict:
    """Acknowledge a release. That nothing could be made of it may hang on one row, so it is not told.

    An agent acknowledges before it fits (`client.agent.releases`); a simulated merchant afterwards.
    """
    try:
        merchant.adopt(_instruction(message), _arrays(message))
    except (FedbazaarError, OSError):
        raise
    except Exception:
        _log.exception("a release was received and could not be adopted")
    return RecordDict()


def _describe(merchant: ReachableMerchant) -> RecordDict:
    facts = merchant.describe()
    tasks = ",".join(sorted(facts.tasks))
    record = ConfigRecord({"name": facts.name, "tier": facts.tier, "tasks": tasks, "role": facts.role})
    return RecordDict({REPORT: record})


def _instruction(message: Message) -> Instruction:
    return Instruction.from_mapping(message.content.config_records[INSTRUCTION])


def _record(arrays: SharedArrays) -> ArrayRecord:
    """Return the record of `arrays`, which are let go one by one: bytes take as much memory as they do."""
    record = ArrayRecord()
    for name in list(arrays):  # Flower's constructor would copy each of them
        array = arrays.pop(name)
        record[name] = Array(npy.type_name(array.dtype), array.shape, "numpy.ndarray", npy.write(array))
    return record


def _arrays(message: Message) -> SharedArrays:
    return {n: npy.read(n, array.data) for n, array in message.content.array_records[ARRAYS].items()}


def _answered(message: Message, answer: Callable[[], RecordDict]) -> Message:
    """Return the reply that `answer` makes, or the code of what went wrong with it."""
    try:
        return Message(answer(), reply_to=message)
    except Exception as error:
        return refused(message, error)


def refused(message: Message, error: Exception) -> Message:
    """Return the code of what went wrong; what it was stays in the log."""
    code = code_of(error)
    _log.error("message refused with code %s", code.name, exc_info=error)
    return Message(Error(int(code)), reply_to=message)


app = client_app(lambda context: merchant_for(context.node_config))
