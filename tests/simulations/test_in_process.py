import threading

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from simulations.in_process import InProcessGrid

NODES = {"alba": {"name": "alba"}, "bruno": {"name": "bruno"}}


def make_grid(handle, nodes=NODES):
    app = ClientApp()
    app.train()(handle)
    return InProcessGrid(app, nodes)


def ask(grid, *names, content=None, timeout=None):
    content = content or RecordDict()
    messages = [Message(content, grid.node_ids[name], MessageType.TRAIN) for name in names]
    return list(grid.send_and_receive(messages, timeout=timeout))


def echo(message, context):
    return Message(message.content, reply_to=message)


def says_its_name(message, context):
    name = ConfigRecord({"name": context.node_config["name"]})
    return Message(RecordDict({"who": name}), reply_to=message)


def counts(message, context):
    """Answer how many calls this node's state remembers, and fail at the second."""
    seen = context.state.config_records.get("seen", ConfigRecord({"calls": 0}))["calls"] + 1
    context.state["seen"] = ConfigRecord({"calls": seen})
    if "fail" in message.content:
        raise RuntimeError("secret")
    return Message(RecordDict({"seen": ConfigRecord({"calls": seen})}), reply_to=message)


def calls_seen(reply):
    return reply.content["seen"]["calls"]


def test_each_node_sees_its_own_config():
    replies = ask(make_grid(says_its_name), "bruno", "alba")
    assert [reply.content["who"]["name"] for reply in replies] == ["bruno", "alba"]


def test_nodes_carry_their_names():
    grid = make_grid(echo)
    assert {node.name: node.node_id for node in grid.get_nodes()} == grid.node_ids
    assert list(grid.get_node_ids()) == list(grid.node_ids.values())


def test_a_reply_says_which_message_it_answers():
    grid = make_grid(echo)
    message = Message(RecordDict(), grid.node_ids["alba"], MessageType.TRAIN)
    [reply] = grid.send_and_receive([message])
    assert reply.metadata.reply_to_message_id == message.metadata.message_id != ""
    assert reply.metadata.src_node_id == grid.node_ids["alba"]


def test_state_is_kept_between_calls_of_a_node_and_not_shared():
    grid = make_grid(counts)
    assert [calls_seen(reply) for reply in ask(grid, "alba", "alba", "bruno")] == [1, 2, 1]


def test_state_changed_by_a_call_that_failed_is_discarded():
    grid = make_grid(counts)
    ask(grid, "alba", content=RecordDict({"fail": ConfigRecord()}))
    assert calls_seen(ask(grid, "alba")[0]) == 1


def test_an_exception_becomes_an_error_reply_without_its_text():
    [reply] = ask(make_grid(counts), "alba", content=RecordDict({"fail": ConfigRecord()}))
    assert reply.error.code == 2
    assert "secret" not in reply.error.reason


def test_a_timeout_raised_by_the_app_is_an_error_and_not_a_missing_reply():
    def times_out(message, context):
        raise TimeoutError

    [reply] = ask(make_grid(times_out), "alba", timeout=30)
    assert reply.has_error()


def test_an_offline_node_does_not_answer():
    grid = make_grid(echo)
    grid.offline.add("alba")
    assert len(ask(grid, "alba", "bruno")) == 1


def test_a_message_to_nobody_has_no_reply():
    grid = make_grid(echo)
    assert list(grid.send_and_receive([Message(RecordDict(), 5, MessageType.TRAIN)])) == []


def test_a_node_that_hangs_is_left_alone_until_its_call_ends():
    freed, ended = threading.Event(), threading.Event()

    def hangs_once(message, context):
        if context.node_config["name"] == "alba" and not freed.is_set():
            freed.wait(30)
            ended.set()
        return Message(RecordDict(), reply_to=message)

    grid = make_grid(hangs_once)
    [reply] = ask(grid, "alba", "bruno", timeout=0.5)
    assert reply.metadata.src_node_id == grid.node_ids["bruno"]
    assert ask(grid, "alba", timeout=30) == []
    freed.set()
    ended.wait(30)
    grid._abandoned[grid.node_ids["alba"]].result(30)
    assert len(ask(grid, "alba", timeout=30)) == 1


def test_every_merchant_has_the_whole_deadline():
    def takes_a_while(message, context):
        threading.Event().wait(0.4)
        return Message(RecordDict(), reply_to=message)

    assert len(ask(make_grid(takes_a_while), "alba", "bruno", "alba", timeout=1.0)) == 3


def test_records_are_not_shared_but_the_bytes_of_arrays_are():
    seen = []

    def meddles(message, context):
        seen.append((set(message.content), message.content["arrays"]["w"].data))
        message.content["extra"] = ConfigRecord()
        del message.content["arrays"]["w"]
        return Message(RecordDict(), reply_to=message)

    content = RecordDict({"arrays": ArrayRecord({"w": Array(np.ones(3))})})
    ask(make_grid(meddles), "alba", "bruno", content=content)
    assert [keys for keys, _ in seen] == [{"arrays"}, {"arrays"}]
    assert seen[0][1] is seen[1][1] is content["arrays"]["w"].data


def test_merchants_are_called_only_when_their_reply_is_wanted():
    called = []

    def notes(message, context):
        called.append(context.node_config["name"])
        return Message(RecordDict(), reply_to=message)

    grid = make_grid(notes)
    messages = [Message(RecordDict(), node, MessageType.TRAIN) for node in grid.get_node_ids()]
    next(iter(grid.send_and_receive(messages)))
    assert called == ["alba"]


def test_pushed_messages_are_answered_when_pulled():
    grid = make_grid(says_its_name)
    messages = [Message(RecordDict(), node, MessageType.TRAIN) for node in grid.get_node_ids()]
    first, second = grid.push_messages(messages)
    assert [reply.content["who"]["name"] for reply in grid.pull_messages([second])] == ["bruno"]
    assert [reply.metadata.reply_to_message_id for reply in grid.pull_messages([first, second])] == [first]


def test_all_calls_of_a_grid_run_in_one_thread():
    threads = set()

    def notes(message, context):
        threads.add(threading.get_ident())
        return Message(RecordDict(), reply_to=message)

    ask(make_grid(notes), "alba", "bruno", "alba")
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


@pytest.mark.parametrize("name", ["alba", "bruno"])
def test_an_unknown_kind_of_message_is_an_error(name):
    grid = make_grid(echo)
    [reply] = grid.send_and_receive([Message(RecordDict(), grid.node_ids[name], MessageType.QUERY)])
    assert reply.has_error()
