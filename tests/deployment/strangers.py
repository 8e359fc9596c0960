"""Whoever reaches the SuperLink: an app that asks merchants anything and brings code of its own."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from server.deployment import flower
from server.deployment import market as markets
from shared_model.protocol import Instruction, SharedArrays
from simulations.local_deployment import wait_until
from tests.deployment.town import Town

ANSWERED = "answered"

_SERVER = """
import json
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


def answer(grid, node, question):
    arrays = {name: Array(np.array(a, np.float32)) for name, a in question["arrays"].items()}
    content = {"arrays": ArrayRecord(arrays), "instruction": ConfigRecord(question["instruction"])}
    (reply,) = grid.send_and_receive([Message(RecordDict(content), node, "train")], timeout=120)
    return reply.error.code if reply.has_error() else "answered"


@app.main()
def main(grid, context):
    nodes = {node.name: node.node_id for node in grid.get_nodes()}
    questions = json.loads(Path(context.run_config["questions"]).read_text())
    answers = [answer(grid, nodes[question["whom"]], question) for question in questions]
    result = Path(context.run_config["result"])
    result.with_suffix(".new").write_text(json.dumps(answers))
    result.with_suffix(".new").rename(result)
"""

_CLIENT = """
from pathlib import Path
Path({marker!r}).touch()
from flwr.clientapp import ClientApp
app = ClientApp()
"""


@dataclass(frozen=True)
class Question:
    """What a merchant's node is sent.

    Attributes:
        whom: Name under which the node is enrolled.
        instruction: Signed or not.
        arrays: That come with it.
    """

    whom: str
    instruction: Instruction
    arrays: SharedArrays


def asked(town: Town, folder: Path, questions: Sequence[Question], *, marker: Path) -> list[int | str]:
    """Ask one question after the other; return the code of each refusal, or `ANSWERED`.

    Args:
        town: Whose merchants.
        folder: For the app.
        questions: In order.
        marker: A file that exists as soon as any code of the app was imported at a merchant.
    """
    result, listed = folder / "result.json", folder / "questions.json"
    listed.write_text(
        json.dumps(
            [
                {
                    "whom": question.whom,
                    "instruction": question.instruction.to_mapping(),
                    "arrays": {name: array.tolist() for name, array in question.arrays.items()},
                }
                for question in questions
            ]
        )
    )
    settings = folder / "settings.toml"
    settings.write_text(tomli_w.dumps({"questions": str(listed), "result": str(result)}))
    home = markets.load(town.deployment.market).flower_home
    run = flower.start_run(home, _app(folder, marker), settings)
    wait_until(result.exists, 180, "a stranger's answers")
    wait_until(lambda: flower.runs(home, identity=run)[0].is_over, 60, "the end of a stranger's run")
    answers: list[int | str] = json.loads(result.read_text())
    return answers


def _app(folder: Path, marker: Path) -> Path:
    app = folder / "stranger"
    (app / "client").mkdir(parents=True)
    (app / "asking.py").write_text(_SERVER)
    (app / "client" / "__init__.py").write_text("")
    (app / "client" / "app.py").write_text(_CLIENT.format(marker=str(marker)))
    (app / "pyproject.toml").write_text(
        textwrap.dedent("""\
        [project]
        name = "stranger"
        version = "0.1.0"
        license = "Apache-2.0"
        dependencies = []
        [tool.flwr.app]
        publisher = "stranger"
        [tool.flwr.app.components]
        serverapp = "asking:app"
        clientapp = "client.app:app"
        [tool.flwr.app.config]
        questions = ""
        result = ""
        """)
    )
    return app
