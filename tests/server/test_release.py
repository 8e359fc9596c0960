"""At the end every member is offered the released arrays, and the journal knows who took them."""

from pathlib import Path

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from server import release
from server.roster import Member, registered
from shared_model.protocol import Refusal
from simulations.in_process import InProcessGrid

from .fakes import arrays, events, instruction, make_federation, received, settings_in

FEDERATION = make_federation(rounds=7)


def offered(tmp_path: Path, everybody: tuple[str, ...] = (), **behaviours: object) -> dict[str, str]:
    app = ClientApp()

    @app.train("adopt")
    def _adopt(message: Message, context: Context) -> Message:
        return behaviours[str(context.node_config["name"])](message)  # type: ignore[operator]

    grid = InProcessGrid(app, {name: {"name": name} for name in behaviours})
    members = {
        node: Member(name=name, tier="any", tasks=frozenset(), role="receive")
        for name, node in grid.node_ids.items()
    }
    settings = settings_in(tmp_path)
    return dict(
        release.offer(
            grid,
            arrays(2.0),
            FEDERATION,
            settings=settings,
            roster=registered(members),
            everybody=everybody,
        )
    )


def takes(message: Message) -> Message:
    return Message(RecordDict(), reply_to=message)


def refuses(message: Message) -> Message:
    return Message(Error(int(Refusal.UNREADY)), reply_to=message)


def tells(message: Message) -> Message:
    return Message(RecordDict({"metrics": ConfigRecord({"loss": 0.3})}), reply_to=message)


def test_members_that_only_receive_are_offered_the_release_too(tmp_path: Path) -> None:
    assert offered(tmp_path, alba=takes) == {"alba": "adopted"}


def test_the_journal_says_who_adopted_and_why_others_did_not(tmp_path: Path) -> None:
    outcome = offered(tmp_path, alba=takes, bruno=refuses, carla=tells)
    assert outcome == {"alba": "adopted", "bruno": "UNREADY", "carla": "unknown record metrics"}
    assert events(tmp_path, "released")[0]["members"] == outcome


def test_an_offer_names_the_training_and_its_last_round(tmp_path: Path) -> None:
    seen: list[Message] = []

    def watches(message: Message) -> Message:
        seen.append(message)
        return takes(message)

    offered(tmp_path, alba=watches)
    assert instruction(seen[0]).round == 7
    assert instruction(seen[0]).lineage == settings_in(tmp_path).lineage
    assert received(seen[0])["w"].tolist() == [2.0, 2.0, 2.0]


def test_a_member_that_cannot_be_reached_is_noted_as_missing(tmp_path: Path) -> None:
    outcome = offered(tmp_path, ("alba", "bruno"), alba=takes)
    assert outcome == {"alba": "adopted", "bruno": "missing"}
