import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from server.roster import Member, asked, by_name, registered, waiting
from shared_model.errors import AggregationError
from simulations.in_process import InProcessGrid

ALBA = Member(name="alba", tier="any", tasks=frozenset({"late"}))


def make_grid(**facts):
    """A grid whose nodes answer the question who they are with these facts."""
    app = ClientApp()
    calls = []

    @app.query()
    def _query(message, context):
        calls.append(context.node_config["name"])
        report = ConfigRecord(facts[context.node_config["name"]])
        return Message(RecordDict({"report": report}), reply_to=message)

    grid = InProcessGrid(app, {name: {"name": name} for name in facts})
    grid.calls = calls
    return grid


def facts(name="alba", tier="any", tasks="late", **more):
    return {"name": name, "tier": tier, "tasks": tasks, **more}


def names(members):
    return [member.name for member in members.values()]


def test_asked_nodes_say_who_they_are():
    grid = make_grid(alba=facts(tasks="late, units"))
    member = Member(name="alba", tier="any", tasks=frozenset({"late", "units"}))
    assert asked()(grid) == {grid.node_ids["alba"]: member}


def test_a_node_may_say_that_it_only_receives():
    [member] = asked()(make_grid(alba=facts(role="receive"))).values()
    assert member.role == "receive"


def test_a_merchant_without_tasks_has_none():
    [member] = asked()(make_grid(alba=facts(tasks=""))).values()
    assert member.tasks == frozenset()


def test_a_node_is_asked_once():
    grid, roster = make_grid(alba=facts()), asked()
    roster(grid)
    roster(grid)
    assert grid.calls == ["alba"]


@pytest.mark.parametrize(
    "answer",
    [{}, {"name": "x", "tier": "any"}, facts(name=3), facts(tasks=["late"]), facts(role="boss")],
    ids=["nothing", "no tasks", "number for a name", "list of tasks", "unknown role"],
)
def test_a_node_that_does_not_say_who_it_is_takes_no_part(answer):
    assert names(asked()(make_grid(bruno=answer, alba=facts()))) == ["alba"]


def test_a_node_that_did_not_answer_is_asked_again():
    grid, roster = make_grid(alba=facts()), asked()
    grid.offline.add("alba")
    assert roster(grid) == {}
    grid.offline.clear()
    assert names(roster(grid)) == ["alba"]


def test_members_are_found_by_their_registered_name():
    grid = make_grid(alba=facts(), bruno=facts())
    assert by_name([ALBA])(grid) == {grid.node_ids["alba"]: ALBA}


def test_a_registered_member_that_is_not_there_is_left_out():
    grid = make_grid(alba=facts())
    assert registered({grid.node_ids["alba"]: ALBA, 5: ALBA})(grid) == {grid.node_ids["alba"]: ALBA}


def test_waiting_ends_when_the_members_are_there():
    answers = iter([{}, {}, {7: ALBA}])
    roster = waiting(lambda grid: next(answers), members=1, seconds=30.0, poll_seconds=0.0)
    assert roster(make_grid()) == {7: ALBA}


def test_waiting_for_members_that_never_come_is_an_error():
    roster = waiting(lambda grid: {}, members=2, seconds=0.0)
    with pytest.raises(AggregationError, match="0 of 2 members can be reached"):
        roster(make_grid())
