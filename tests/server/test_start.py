import numpy as np

from server import wire
from server.start import start_of
from shared_model import protocol
from shared_model.precision import PRECISIONS

ITERATE = {"w": np.array([1.0, 2.0 + 1e-12]), "b": np.zeros((2, 1))}


def start(precision="float32"):
    return start_of(ITERATE, {}, PRECISIONS[precision])


def test_a_start_is_the_iterate_in_the_type_that_travels():
    assert start("float16").arrays["w"].dtype == np.float16
    assert start("float16").arrays["w"].tolist() == [1.0, 2.0]


def test_of_a_table_of_which_some_rows_travel_a_start_has_those():
    begun = start_of({"t": np.arange(6.0).reshape(3, 2)}, {"t": slice(1, 3)}, PRECISIONS["float32"])
    assert begun.arrays["t"].tolist() == [[2, 3], [4, 5]]


def test_an_array_is_done_with_before_the_next_is_read():
    iterate = {"w": np.ones(2), "b": np.ones(1)}
    begun = start_of(
        iterate,
        {},
        PRECISIONS["float32"],
        lambda name: iterate.update({name: np.zeros(0), "b": np.full(1, 7.0)}),
    )
    assert (begun.arrays["w"].tolist(), begun.arrays["b"].tolist()) == ([1, 1], [7])
    assert iterate["w"].size == 0


def test_the_digest_is_that_of_what_is_sent():
    begun = start()
    assert begun.digest == protocol.digest(wire.unpack(begun.record))


def test_a_start_knows_its_own_record_from_another():
    other = wire.pack({"w": np.zeros(2, np.float32), "b": np.zeros((2, 1), np.float32)})
    assert start().is_in(start().record)
    assert not start().is_in(other)


def test_a_changed_record_is_no_more_that_of_the_start():
    begun = start()
    record = begun.record
    record["w"].data = b"changed"
    assert not begun.is_in(record)
    assert begun.is_in(begun.record)


def test_what_a_round_starts_from_cannot_be_changed():
    assert not start().arrays["w"].flags.writeable
