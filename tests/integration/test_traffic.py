"""The bytes that a contract announces are those that the wire record says were sent."""

from collections import Counter

import pytest

from server.wire_record import RECORD
from shared_model import journal, schema, traffic
from shared_model.model import initial_shared
from simulations import federated
from simulations.federated import Site
from tests.client import shops

POLICY = {"epsilon": 8.0, "delta": 1e-6}


def agreement(policy=None, **federation):
    terms = {"rounds": 5, "full_batch": True, **federation}
    contract = shops.contract(federation=terms, bottom={"architecture": "shared_bottom", "hidden": [4]})
    contract["features"]["colour"] = {"kind": "categorical", "buckets": 1030, "width": 2}
    return contract if policy is None else {**contract, "privacy": policy}


def trained(folder, contract):
    """Train one merchant; return contract and directory."""
    split = {"validation_from": "2024-02-10", "test_from": "2024-02-20"}
    merchant, path = shops.write(folder, agreement=contract, split=split)
    federated.train(
        Site(contract=path, merchants={"acme": merchant}), directory=folder / "run", lineage="first", seed=0
    )
    return schema.load_federation(path), folder / "run"


def sent(directory):
    """Bytes of arrays by round."""
    found = Counter()
    for line in journal.read(directory / RECORD):
        for array in line["records"].get("arrays", {}).get("arrays", {}).values():
            found[line["round"]] += array["bytes"]
    return dict(found)


@pytest.mark.parametrize(
    "contract",
    [
        agreement(),
        agreement(precision="float16"),
        agreement(precision="int8"),
        agreement(row_blocks=3, precision="int8"),
        agreement({**POLICY, "telemetry": {}}, precision="int8"),
    ],
    ids=["float32", "float16", "int8", "int8 in blocks", "int8 in private, with telemetry"],
)
def test_what_goes_up_is_what_the_contract_says(tmp_path, contract):
    federation, directory = trained(tmp_path, contract)
    shapes = {name: array.shape for name, array in initial_shared(federation, 0).items()}
    expected = {number: traffic.of_round(federation, shapes, number).up for number in range(1, 6)}
    assert sent(directory) == expected
    mean = traffic.of_mean_round(federation, shapes).up
    assert 5 * (mean - 1) < sum(expected.values()) <= 5 * mean


def test_a_round_in_blocks_goes_down_in_less_bytes_than_a_whole_one():
    shapes = {"encoder.tables.colour.weight": (1030, 2), "bias": (1,)}
    whole, blocks = (
        traffic.of_round(schema.parse_federation(agreement(row_blocks=n)), shapes, 1) for n in (1, 2)
    )
    assert (whole.down, blocks.down) == (4 * (2060 + 1) + 2 * 128, 4 * (1030 + 1) + 2 * 128)
