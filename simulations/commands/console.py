"""Where commands print: results, and beside them progress and warnings."""

import sys

from rich.console import Console

console = Console(emoji=False, width=None if sys.stdout.isatty() else 120)
errors = Console(stderr=True, emoji=False)
