"""How every command of ours speaks of an error that it raised on purpose."""

from collections.abc import Callable

from rich.console import Console

from .errors import FedbazaarError


def run(command: Callable[[], object]) -> None:
    """Run a command; an error of ours is one line on stderr and exit code 1, without a traceback."""
    try:
        command()
    except FedbazaarError as error:
        Console(stderr=True, emoji=False).print(
            f"Error: {error}", style="red", highlight=False, markup=False, soft_wrap=True
        )
        raise SystemExit(1) from None
