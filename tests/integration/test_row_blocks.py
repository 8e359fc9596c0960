"""Real merchants under a contract whose big table travels in blocks of rows."""

import numpy as np
import pytest

from client.state import load_round
from server.coordinator import JOURNAL
from server.wire_record import RECORD
from shared_model import journal, schema
from shared_model.model import initial_shared
from simulations import federated
from simulations.audit import wire
from simulations.federated import Site
from tests.client import shops

TABLE = "encoder.tables.colour.weight"
ROWS, BLOCKS = 1024, 4


def agreement(**federation):
    terms = {"row_blocks": BLOCKS, "rounds": 6, **federation}
    contract = shops.contract(federation=terms, bottom={"architecture": "shared_bottom", "hidden": [4]})
    contract["features"]["colour"] = {"kind": "categorical", "buckets": ROWS, "width": 2}
    return contract


def trained(folder, *, on_round=None, **federation):
    paths = {
        name: shops.write(folder / name, shops.examples(seed=seed), agreement=agreement(**federation),
                          merchant={"name": name})
        for seed, name in enumerate(("alba", "bruno"))
    }  # fmt: skip
    site = Site(contract=paths["alba"][1], merchants={name: path for name, (path, _) in paths.items()})
    directory = folder / "run"
    released = federated.train(site, directory=directory, lineage="first", seed=0, on_round=on_round)
    return released, site, directory


def test_in_a_round_only_its_block_of_rows_moves(tmp_path):
    seen = []
    _, site, _ = trained(tmp_path, on_round=lambda summary: seen.append(summary.arrays[TABLE].copy()))
    before = initial_shared(schema.load_federation(site.contract), 0)[TABLE]
    moved = []
    for after in seen:
        moved.append(sorted(set(np.flatnonzero((after != before).any(1)) * BLOCKS // ROWS)))
        before = after
    assert all(blocks in ([], [number % BLOCKS]) for number, blocks in enumerate(moved))
    assert any(moved)


def test_only_a_block_of_rows_leaves_a_merchant_and_nothing_is_found_against_it(tmp_path):
    _, site, directory = trained(tmp_path)
    audit = wire.audited(directory / RECORD, site.contract)
    shapes = {sent.shape for sent in audit.messages if sent.name == TABLE}
    assert (audit.findings, shapes) == ((), {(ROWS // BLOCKS, 2)})


def test_a_merchant_keeps_every_row_as_it_last_came_and_zero_where_it_never_did(tmp_path):
    seen = {}
    _, site, _ = trained(
        tmp_path, rounds=3, on_round=lambda summary: seen.update({summary.round: summary.arrays[TABLE]})
    )
    federation = schema.load_federation(site.contract)
    state = load_round(site.merchant("alba", 0).config.state, federation.fingerprint, "first")
    table, size = state.tables[TABLE].numpy(), ROWS // BLOCKS
    assert table[:size].tolist() == initial_shared(federation, 0)[TABLE][:size].tolist()
    assert table[2 * size : 3 * size].tolist() == seen[2][2 * size : 3 * size].tolist()
    assert not table[3 * size :].any()


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_blocks_and_types_that_travel_go_together(tmp_path, precision):
    released, _, directory = trained(tmp_path, precision=precision)
    assert all(np.isfinite(array).all() for array in released.values())
    accepted = [
        line["accepted"] for line in journal.read(directory / JOURNAL) if line["event"] == "round_closed"
    ]
    assert accepted == [["alba", "bruno"]] * 6
