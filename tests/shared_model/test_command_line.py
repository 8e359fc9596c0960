"""Errors that a user can do something about are one line; all others are not hidden."""

import errno
import os
from collections.abc import Callable

import pytest

from shared_model import command_line
from shared_model.errors import StateError


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def full(path: str | None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StateError("Start `up` [first]."), "Error: Start `up` [first].\n"),
        (full("runs/a"), "Error: No space left on device (runs/a). Make room and call this again.\n"),
        (full(None), "Error: No space left on device. Make room and call this again.\n"),
    ],
)
def test_it_is_one_line_and_exit_code_one(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.run(failing(error))
    assert ended.value.code == 1
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError("a defect")])
def test_what_nobody_foresaw_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        command_line.run(failing(error))
