"""The attacks as one self-contained page in plain words, as a table for a terminal, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup
from rich.table import Table

from server.reporting.style import svg
from server.reporting.template import environment
from shared_model.privacy.words import meaning

from .outcome import Outcome
from .picture import bars
from .training import DELTA

_GUIDE = (
    "How far each attack gets from guessing (0 %) to being always right (100 %). The longer a bar, the more "
    "the attacker learns; a bar that ends at the line tells it nothing."
)
_MEANINGS: Mapping[str, str] = {
    "AUC": "How often it points at the right one of two, one that is and one that is not.",
    "found at 1 % false alarms": "How many it finds while it accuses 1 % of the others wrongly.",
    "error, guess = 1": "How far off it is, where a guess from public constants counts as 100 %.",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What an attacker learns, without privacy and with it</title>
<style>
:root { color-scheme: light dark; --paper: #fdfdfd; --ink: #1b1f24; --soft: #59616b; --rule: #d0d4da; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e8eaed; --soft: #a4abb5;
  --rule: #3a4149; } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
p, li { max-width: 44rem; } .soft, figcaption { color: var(--soft); font-size: .875rem; }
figure { margin: 1.5rem 0; overflow-x: auto; } figure svg { width: 100%; min-width: 34rem; height: auto; }
figure svg text { font-family: system-ui, sans-serif !important; }
div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; min-width: 5rem;
  border-bottom: 1px solid var(--rule); } th { color: var(--soft); }
@media (max-width: 40rem) { th:first-child { display: none; } tr { display: flex; flex-wrap: wrap; }
  td:first-child { flex: 1 0 100%; border: 0; } th, td { flex: 1 0 5rem; padding-bottom: .6rem; } }
</style>
</head>
<body>
<h1>What an attacker learns, without privacy and with it</h1>
<p>Rows never leave a shop; what leaves is numbers that were trained on them. Here somebody who sees those
numbers tries to read shoppers and shops from them, once where training had no privacy and once where it was
private. Shoppers are made up, and merchants are much smaller than real ones, which helps the attacker.</p>
<p class="soft">{{ meaning }}</p>
<figure>{{ drawn }}<figcaption>{{ guide }}</figcaption></figure>
<h2>Attack by attack</h2>
<div><table>
<tr><th>attack</th><th>without privacy</th><th>with privacy</th><th>guessing</th></tr>
{% for o in outcomes %}<tr><td><strong>{{ o.name }}</strong><br>{{ o.attacked }}
{{ o.metric | meaning }} <span class="soft">{{ o.source }}.</span></td>
<td>{{ o.plain | percent }}</td><td>{{ o.private | percent }}</td><td>{{ o.chance | percent }}</td></tr>
{% endfor %}</table></div>
<h2>What this shows, and what it does not</h2>
<ul>
<li>Without privacy, treat every update as if it could be read.</li>
<li>With privacy, what these attacks learn is the distance to guessing. Close is not equal: epsilon bounds
what anybody can learn about one shopper, it does not make it nothing. A smaller epsilon is stricter.</li>
<li>An attack that fails proves nothing, since the next one may be better. The bound rests on the mechanism
and its ledger, whoever attacks; <code>fedbazaar-audit certify</code> and <code>fedbazaar-audit run</code>
hold those against evidence.</li>
</ul>
<p class="soft">Made by <code>{{ command }}</code>.</p>
</body>
</html>
"""


def page(outcomes: Sequence[Outcome], *, epsilon: float, command: str) -> str:
    """Return the page; it loads nothing and runs nothing, and the same outcomes give the same page."""
    label = Markup('<svg role="img" aria-label="{}" ').format(_GUIDE)
    drawn = svg(bars(outcomes), "attacks").replace("<svg ", label, 1)
    filled = environment(percent=percent, meaning=_MEANINGS.__getitem__)
    return filled.from_string(_PAGE).render(
        outcomes=outcomes, meaning=meaning(epsilon, DELTA), command=command, guide=_GUIDE, drawn=Markup(drawn)
    )


def percent(value: float) -> str:
    """Return a figure as a share, with two digits or more.

    >>> percent(0.912), percent(0.0104)
    ('91 %', '1.0 %')
    """
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the outcomes for a terminal."""
    drawn = Table(title="What an attacker learns", title_justify="left")
    drawn.add_column("attack")
    drawn.add_column("figure")
    for heading in ("without privacy", "with privacy", "guessing"):
        drawn.add_column(heading, justify="right")
    for o in outcomes:
        drawn.add_row(o.name, o.metric, *(f"{value:.3f}" for value in (o.plain, o.private, o.chance)))
    return drawn


def as_json(outcomes: Sequence[Outcome], *, epsilon: float, seed: int) -> dict[str, Any]:
    """Return the outcomes as JSON holds them."""
    return {"epsilon": epsilon, "seed": seed, "attacks": [asdict(outcome) for outcome in outcomes]}
