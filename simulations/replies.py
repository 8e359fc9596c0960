"""Replies of simulated merchants, put together without Flower's checks of every key and value.

Flower's constructors look at each array of a reply several times, which costs more than training a small
model in a cohort. Whatever grid answers for many merchants at once makes its replies here. The result is what
the constructors make (`tests/simulations/test_replies.py`). Private Flower API: the fields of an `Array`, and
the dictionary inside a record.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from shared_model import npy
from shared_model.protocol import ARRAYS, REPORT, Report, SharedArrays

Record = TypeVar("Record", ArrayRecord, ConfigRecord, RecordDict)

_NO_ARRAYS, _NOTHING, _NO_RECORDS = ArrayRecord(), ConfigRecord(), RecordDict()


def reply_to(question: Message, report: Report, arrays: SharedArrays) -> Message:
    """Return a merchant's reply to a question: a report, and arrays of any precision.

    `arrays` are let go one by one, so that they are not there twice.
    """
    record = _filled(_NO_ARRAYS, {name: _array(arrays.pop(name)) for name in list(arrays)})
    content = _filled(_NO_RECORDS, {ARRAYS: record, REPORT: _filled(_NOTHING, report.to_mapping())})
    return Message(content, reply_to=question)


def _filled(empty: Record, items: Mapping[str, Any]) -> Record:
    record = empty.copy()
    record.__dict__["_data"].update(items)
    return record


def _array(array: NDArray[Any]) -> Array:
    made = Array.__new__(Array)
    made.__dict__.update(
        dtype=npy.type_name(array.dtype), shape=array.shape, stype="numpy.ndarray", data=npy.write(array)
    )
    return made
