import gc
import weakref

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord

from server import wire
from server.checkpoint import Progress
from server.coordinator import train
from server.open_round import needed
from server.roster import Member, registered
from server.strategy import FederatedStrategy
from shared_model import protocol
from shared_model.errors import AggregationError
from simulations.in_process import InProcessGrid
from tests.server.fakes import (
    answer,
    arrays,
    instruction,
    make_app,
    make_federation,
    make_grid,
    moves,
    roster_of,
    settings_in,
)


def make_strategy(grid, federation, *, note=lambda event, **facts: None, **members):
    return FederatedStrategy(
        federation,
        Progress(round=0, iterate={"w": np.zeros(3)}),
        lineage="first",
        roster=roster_of(grid, **members),
        moved_by={},
        note=note,
    )


def configure(strategy, grid):
    return strategy.configure_train(1, strategy.arrays, ConfigRecord(), grid)


def train_with(tmp_path, behaviours, federation, *, initial, moved_by, **members):
    grid = make_grid(behaviours)
    return train(
        grid,
        federation,
        initial,
        settings=settings_in(tmp_path),
        roster=roster_of(grid, **members),
        moved_by=moved_by,
    )


def test_a_larger_tier_weighs_more(tmp_path):
    tiers = {"small": {"shoppers": 0, "weight": 1.0}, "large": {"shoppers": 1000, "weight": 3.0}}
    released = train_with(
        tmp_path,
        {"alba": moves(1.0), "bruno": moves(5.0)},
        make_federation(tiers=tiers),
        initial=arrays(0.0),
        moved_by={},
        alba=Member(name="alba", tier="small", tasks=frozenset()),
        bruno=Member(name="bruno", tier="large", tasks=frozenset()),
    )
    assert released["w"][0] == 4.0  # (1 * 1 + 3 * 5) / 4


def test_a_tasks_array_is_averaged_over_the_merchants_that_train_it(tmp_path):
    released = train_with(
        tmp_path,
        {"alba": moves(1.0), "bruno": moves(5.0)},
        make_federation(),
        initial=arrays(0.0, names=("bottom", "late", "units")),
        moved_by={"late": frozenset({"late"}), "units": frozenset({"units"})},
        alba=Member(name="alba", tier="any", tasks=frozenset({"late"})),
        bruno=Member(name="bruno", tier="any", tasks=frozenset()),
    )
    assert {name: array[0] for name, array in released.items()} == {"bottom": 3.0, "late": 1.0, "units": 0.0}


def test_an_array_of_two_tasks_is_averaged_over_the_merchants_that_train_either(tmp_path):
    released = train_with(
        tmp_path,
        {"alba": moves(1.0), "bruno": moves(5.0), "carla": moves(30.0)},
        make_federation(),
        initial=arrays(0.0, names=("bottom", "click")),
        moved_by={"click": frozenset({"click", "purchase"})},
        alba=Member(name="alba", tier="any", tasks=frozenset({"click"})),
        bruno=Member(name="bruno", tier="any", tasks=frozenset({"purchase"})),
        carla=Member(name="carla", tier="any", tasks=frozenset({"late"})),
    )
    assert released["click"][0] == 3.0  # (1 + 5) / 2
    assert released["bottom"][0] == 12.0  # (1 + 5 + 30) / 3


def test_a_merchant_that_only_receives_is_never_asked():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    receiver = Member(name="bruno", tier="any", tasks=frozenset(), role="receive")
    messages = configure(make_strategy(grid, make_federation(), bruno=receiver), grid)
    assert [message.metadata.dst_node_id for message in messages] == [grid.node_ids["alba"]]


def test_a_merchant_of_a_tier_that_only_receives_is_never_asked():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    tiers = {
        "any": {"shoppers": 50, "weight": 1.0},
        "tiny": {"shoppers": 0, "weight": 1.0, "role": "receive"},
    }
    tiny = Member(name="alba", tier="tiny", tasks=frozenset())
    questions = configure(make_strategy(grid, make_federation(tiers=tiers), alba=tiny), grid)
    assert [question.metadata.dst_node_id for question in questions] == [grid.node_ids["bruno"]]


def test_all_questions_share_the_arrays_and_each_is_addressed():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    first, second = configure(make_strategy(grid, make_federation()), grid)
    assert first.content[protocol.ARRAYS]["w"].data is second.content[protocol.ARRAYS]["w"].data
    assert [instruction(question).merchant for question in (first, second)] == ["alba", "bruno"]


def test_a_question_does_not_outlive_its_round_by_hours():
    grid = make_grid({"alba": moves(1.0)})
    [message] = configure(make_strategy(grid, make_federation(deadline_seconds=100.0)), grid)
    assert message.metadata.ttl == 700.0


def test_a_question_carries_the_arrays_and_the_instruction_only():
    grid = make_grid({"alba": moves(1.0)})
    federation = make_federation()
    [message] = configure(make_strategy(grid, federation), grid)
    assert set(message.content) == {protocol.ARRAYS, protocol.INSTRUCTION}
    assert dict(message.content[protocol.INSTRUCTION]) == {
        "version": protocol.VERSION,
        "fingerprint": federation.fingerprint,
        "lineage": "first",
        "round": 1,
        "digest": protocol.digest(arrays(0.0)),
        "kind": "train",
        "merchant": "alba",
        "answered": 0,
        "ledger": "",
        "signature": "",
    }


def test_a_member_of_an_unknown_tier_is_named_and_not_asked():
    grid, notes = make_grid({"alba": moves(1.0), "bruno": moves(1.0)}), []
    stranger = Member(name="bruno", tier="gigantic", tasks=frozenset())
    strategy = make_strategy(
        grid, make_federation(), bruno=stranger, note=lambda event, **facts: notes.append((event, facts))
    )
    assert len(configure(strategy, grid)) == 1
    assert notes[0] == ("member_refused", {"merchant": "bruno", "reason": "unknown tier gigantic"})


def test_two_nodes_under_one_name_are_one_member():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    pretender = Member(name="alba", tier="any", tasks=frozenset())
    assert len(configure(make_strategy(grid, make_federation(), bruno=pretender), grid)) == 1


def test_other_arrays_than_its_own_are_not_sent():
    grid = make_grid({"alba": moves(1.0)})
    with pytest.raises(AggregationError, match=r"start with `strategy\.arrays`"):
        make_strategy(grid, make_federation()).configure_train(
            1, wire.pack(arrays(5.0)), ConfigRecord(), grid
        )


def test_replies_without_a_round_are_not_aggregated():
    with pytest.raises(AggregationError, match="no open round"):
        make_strategy(make_grid({}), make_federation()).aggregate_train(1, [])


def test_flowers_own_start_runs_it():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(3.0)})
    strategy = make_strategy(grid, make_federation(rounds=3))
    result = strategy.start(grid, strategy.arrays, num_rounds=3)
    assert wire.unpack(result.arrays)["w"].tolist() == [6.0, 6.0, 6.0]


def test_under_flowers_start_a_round_that_missed_its_quorum_is_asked_again():
    grid = make_grid({"alba": moves(1.0)})
    strategy = make_strategy(grid, make_federation(rounds=3))
    grid.offline.add("alba")
    strategy.start(grid, strategy.arrays, num_rounds=1)
    assert strategy.progress.round == 0
    grid.offline.clear()
    strategy.start(grid, strategy.arrays, num_rounds=2)
    assert strategy.progress.round == 2


class Watching(InProcessGrid):
    """Counts how many replies are alive whenever it has made one more."""

    def send_and_receive(self, messages, *, timeout=None):
        self.alive = []
        living = weakref.WeakSet()
        for reply in super().send_and_receive(messages, timeout=timeout):
            living.add(reply)
            self.alive.append(len(living))
            yield reply
            del reply
            gc.collect()


def test_only_one_reply_is_alive_at_a_time():
    behaviours = {f"merchant-{i}": moves(1.0) for i in range(10)}
    grid = Watching(make_app(behaviours), {name: {"name": name} for name in behaviours})
    strategy = make_strategy(grid, make_federation())
    strategy.aggregate_train(1, grid.send_and_receive(configure(strategy, grid)))
    assert max(grid.alive) == 1
    assert strategy.progress.round == 1


def test_what_a_round_starts_from_is_made_once_and_says_which_arrays_it_is_done_with():
    grid, done = make_grid({"alba": moves(1.0)}), []
    strategy = make_strategy(grid, make_federation())
    assert strategy.advance(grid.send_and_receive(configure(strategy, grid)))
    strategy.prepare(done.append)
    strategy.prepare(done.append)
    assert done == ["w"]


def test_a_round_without_enough_replies_does_not_advance():
    grid = make_grid({"alba": moves(1.0)})
    grid.offline.add("alba")
    strategy = make_strategy(grid, make_federation())
    assert not strategy.advance(grid.send_and_receive(configure(strategy, grid)))
    assert strategy.progress.round == 0


@pytest.mark.parametrize(
    ("quorum", "asked", "expected"), [(0.5, 4, 2), (0.5, 5, 3), (1.0, 7, 7), (0.1, 30, 3), (0.01, 3, 1)]
)
def test_a_quorum_is_a_share_rounded_up(quorum, asked, expected):
    assert needed(quorum, asked) == expected


def test_the_result_does_not_depend_on_flowers_round_number():
    grid = make_grid({"alba": lambda q: answer(q, arrays(2.0))})
    strategy = make_strategy(grid, make_federation())
    messages = strategy.configure_train(77, strategy.arrays, ConfigRecord(), grid)
    found, metrics = strategy.aggregate_train(77, grid.send_and_receive(messages))
    assert isinstance(found, ArrayRecord)
    assert dict(metrics) == {"asked": 1, "accepted": 1}


def test_a_node_outside_the_roster_is_not_asked():
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    member = Member(name="alba", tier="any", tasks=frozenset())
    assert list(registered({grid.node_ids["alba"]: member, 99: member})(grid)) == [grid.node_ids["alba"]]
