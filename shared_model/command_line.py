"""How every command of ours speaks of an error that it raised on purpose, and of a full disk."""

import errno
from collections.abc import Callable

from rich.console import Console

from .errors import FedbazaarError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def run(command: Callable[[], object]) -> None:
    """Run a command; an error of ours, or a full disk, is one line on stderr and exit code 1.

    There is no traceback: neither is a defect of the program (`tests/shared_model/test_command_line.py`).
    """
    try:
        command()
    except FedbazaarError as error:
        _say(str(error))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _say(f"{error.strerror}{where}. Make room and call this again.")
    else:
        return
    raise SystemExit(1) from None


def _say(text: str) -> None:
    console = Console(stderr=True, emoji=False)
    console.print(f"Error: {text}", style="red", highlight=False, markup=False, emoji=False, soft_wrap=True)
