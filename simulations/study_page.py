"""What the pages of all studies have in common: the frame, and how to repeat what they show.

A page is self-contained: it loads nothing and runs nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from server.reporting.template import CSS, environment
from shared_model import files


def write(
    path: Path,
    title: str,
    body: str,
    *,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: Any,
) -> None:
    """Replace the file at `path` by a page, wholly or not at all.

    Args:
        path: Of the page.
        title: Template of what a browser's tab says.
        body: Template of what stands between the frame's beginning and its end.
        filters: Of both, by name.
        values: Of both, by name; `found` has a `command` and an `environment`.

    Raises:
        UndefinedError: A template names a value that is not there.
        OSError: The disk is full or not writable.
    """
    source = f"{_BEGINNING}<title>{title}</title>\n{_STYLE}{body}{_END}"
    page = environment(**(filters or {})).from_string(source).render(css=Markup(CSS), **values)
    files.write(path, page.encode(), durable=False)


_BEGINNING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""

_STYLE = """<style>{{ css }}</style>
</head>
<body>
"""

_END = """<dl><dt>repeat with</dt><dd><code>{{ found.command }}</code></dd>
{% for name, version in found.environment.items() %}<dt>{{ name }}</dt><dd>{{ version }}</dd>
{% endfor %}</dl>
</body>
</html>
"""
