import io

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from server import wire
from shared_model.errors import ProtocolError


def npy_claiming(shape):
    """Return the bytes of an array file whose header claims `shape` and that holds four numbers."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + np.zeros(4, np.float32).tobytes()


def record(data, stype="numpy.ndarray"):
    return ArrayRecord({"w": Array("float32", (4,), stype, data)})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.float32(3).reshape(()),
        np.zeros((0, 4), np.float32),
    ],
    ids=["matrix", "column order", "scalar", "empty"],
)
def test_arrays_survive_the_way_there_and_back(array):
    np.testing.assert_array_equal(wire.unpack(wire.pack({"w": array}))["w"], array)


def test_what_numpy_wrote_in_column_order_is_read():
    matrix = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(wire.unpack(ArrayRecord({"w": Array(matrix)}))["w"], matrix)


def test_unpacking_copies_nothing():
    packed = wire.pack({"w": np.zeros(4, np.float32)})
    assert not wire.unpack(packed)["w"].flags.owndata


@pytest.mark.parametrize(
    "bad",
    [
        record(b""),
        record(b"not an array"),
        record(npy_claiming((4,))[:-3]),
        record(npy_claiming((10**15,))),
        record(npy_claiming((-1, -1))),
        record(npy_claiming((4,)), stype="pickle"),
    ],
    ids=["empty", "not numpy", "cut", "huge claim", "negative claim", "other type"],
)
def test_unreadable_bytes_are_refused_by_name(bad):
    with pytest.raises(ProtocolError, match="unreadable array w"):
        wire.unpack(bad)


def test_objects_are_never_unpickled():
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ProtocolError, match="unreadable array w"):
        wire.unpack(record(stream.getvalue()))


def test_a_number_too_large_for_float32_becomes_infinite_without_a_warning():
    assert np.isinf(wire.rounded({"w": np.array([1e300])})["w"][0])


@pytest.mark.parametrize(
    "array",
    [
        np.ones((2, 3), np.float32),
        np.array(3, np.float16),
        np.zeros((0, 4), np.float64),
        np.arange(3, dtype=np.int8),
    ],
    ids=["matrix", "scalar", "empty", "small integers"],
)
def test_arrays_are_packed_as_flower_itself_packs_them(array):
    assert wire.pack({"w": array})["w"] == Array(array)


def test_a_header_that_was_read_before_vouches_for_no_other_bytes():
    whole = wire.pack({"w": np.zeros(4, np.float32)})["w"].data
    wire.unpack(record(whole))
    with pytest.raises(ProtocolError, match="unreadable array w"):
        wire.unpack(record(whole[:-4]))
