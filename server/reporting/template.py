"""The page of a report as a jinja2 template; a Python module, since Flower's bundle carries nothing else.

Every value is escaped unless it is marked as safe, which only our own SVG is. No scripts, no network.
"""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, StrictUndefined


def environment(**filters: Callable[..., Any]) -> Environment:
    """Return where templates of pages are filled in: values are escaped, and a missing one is an error."""
    found = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    found.filters |= filters
    return found


CSS = """
:root { color-scheme: light dark; --paper: #fdfdfd; --ink: #1b1f24; --soft: #59616b; --rule: #d0d4da;
  --card: #f3f5f7; --gains: #00598c; --loses: #a84600; --warn: #fff4d6; --warn-ink: #4d3800; --safe: #e2f3ec;
  --safe-ink: #00452f; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e8eaed; --soft: #a4abb5;
  --rule: #3a4149; --card: #1e2329; --gains: #6cc0f0; --loses: #ff9d57; --warn: #3d3008; --warn-ink: #ffe9ac;
  --safe: #0d3527; --safe-ink: #b9ecd6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .25rem; }
p, ul { margin: .5rem 0; max-width: 44rem; }
.soft { color: var(--soft); font-size: .875rem; }
.answer { font-size: 1.2rem; line-height: 1.45; margin: 1.25rem 0 .75rem; }
.banner { border-radius: .4rem; padding: .75rem 1rem; margin: 1.25rem 0; max-width: none;
  background: var(--warn); color: var(--warn-ink); }
.banner.on { background: var(--safe); color: var(--safe-ink); }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .8125rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
td.text, th.text { text-align: left; }
td.path { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
td.prose { text-align: left; white-space: normal; min-width: 16rem; }
tr.all td { font-weight: 600; border-top: 2px solid var(--rule); }
.gains { color: var(--gains); } .loses { color: var(--loses); } .cannot-tell { color: var(--soft); }
figure { margin: 1.75rem 0; }
figure svg { display: block; width: 100%; min-width: 34rem; height: auto; }
figure svg text { font-family: system-ui, sans-serif !important; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 44rem; margin-top: .4rem; }
dl { display: grid; grid-template-columns: fit-content(15rem) 1fr; gap: .25rem 1.25rem; font-size: .875rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { display: block; } dt { margin-top: .6rem; } }
details { margin: .75rem 0; } summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } figure svg { min-width: 0; } }
"""

PAGE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ result.name }}: does learning together pay?</title>
<style>"""
    + CSS
    + """</style>
</head>
<body>
<header>
<h1>{{ result.name }}: does learning together pay?</h1>
<p class="soft">{{ result.merchants | length }} merchants, {{ result.tasks | length }} tasks,
{{ result.contract.rounds }} rounds, {{ result.seeds | length }} seed{{ "s" if result.seeds | length != 1 }};
made {{ result.created | moment }}</p>
</header>
<p class="answer">{{ answer }}</p>
{% if sentences %}<ul>{% for sentence in sentences %}<li>{{ sentence }}</li>{% endfor %}</ul>{% endif %}
<p class="banner{{ " on" if result.privacy.on }}"><strong>Differential privacy is
{{ "on" if result.privacy.on else "off" }}.</strong> {{ result.privacy.text }}</p>

{% if result.checks %}
<h2>Targets</h2>
<div class="wide"><table>
<tr><th>target</th><th class="text">what was asked</th><th>wanted</th><th>found</th>
<th class="text">met</th></tr>
{% for check in result.checks %}
<tr><td>{{ check.id }}</td><td class="prose">{{ check.text }}</td>
<td>{{ check.target | short }} {{ check.unit if check.target is not none }}</td>
<td>{{ check.value | short }} {{ check.unit }}</td>
{% if check.target is none %}<td class="text cannot-tell">for the record</td>
{% elif check.met %}<td class="text gains">✓ met</td>
{% else %}<td class="text loses">✗ missed</td>{% endif %}</tr>
{% endfor %}
</table></div>
{% endif %}

{% if result.summary %}
<h2>On average over merchants</h2>
<p class="soft">Every merchant counts once. A gain above zero means that federated training is better,
whichever way the metric points. The interval says how the mean would vary over other merchants of the same
kind; of fewer than ten merchants it is a hint only, and too narrow. Federated without own rows is what a new
merchant gets on its first day. All rows in one place is what no federation may do, for comparison only.</p>
{% for task in result.tasks %}{% set lines = summaries[task.name] %}{% if lines %}
<h3>{{ task.name | spoken }}: {{ task | axis }}</h3>
<div class="wide"><table>
<tr><th>merchants</th><th>number</th><th>constant</th><th>alone</th><th>federated</th>
<th>federated,<br>no own rows</th><th>all rows in<br>one place</th><th>gain</th><th>95 % interval</th>
<th>better</th><th>worse by<br>over 2 %</th></tr>
{% for line in lines %}
<tr{% if line.group == "all" %} class="all"{% endif %}><td>{{ line.group }}</td><td>{{ line.merchants }}</td>
<td>{{ line.constant | number }}</td><td>{{ line.alone | number }}</td><td>{{ line.federated | number }}</td>
<td>{{ line.prior | number }}</td><td>{{ line.pooled | number }}</td>
<td class="{{ line | verdict_of | dashed }}">{{ line.gain_percent | percent }}</td>
<td>{{ line | interval }}</td><td>{{ line.wins }}</td><td>{{ line.worse_than_2_percent }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">“Alone” is {{ task.alone_method | spoken }}, the best on validation rows of
{% for method, value in task.alone_candidates.items() -%}
{{ method | spoken }} ({{ value | number }}){{ ", " if not loop.last }}{% endfor %}.</p>
{% endif %}{% endfor %}
{% endif %}

{% if figures %}<h2>In pictures</h2>{% endif %}
{% for drawn, guide in figures %}
<figure><div class="wide">{{ drawn }}</div><figcaption>{{ guide }}</figcaption></figure>
{% endfor %}

{% if result.cells %}
<h2>Merchant by merchant</h2>
<p class="soft">On each merchant's own test rows, the largest merchant first. The interval resamples whole
shoppers; where it holds zero, the rows are too few to tell.</p>
{% for task in result.tasks %}
<h3>{{ task.name | spoken }}: {{ task | axis }}</h3>
<div class="wide"><table>
<tr><th>merchant</th><th class="text">group</th><th>orders</th><th>test rows</th><th>alone</th>
<th>federated</th><th>all rows in<br>one place</th><th>gain</th><th>95 % interval</th>
<th class="text">verdict</th></tr>
{% for merchant, cell in cells[task.name] %}
<tr><td>{{ merchant.name }}</td><td class="text">{{ merchant.group }}</td><td>{{ merchant.orders }}</td>
<td>{{ cell.test_rows }}</td><td>{{ cell.alone | number }}</td><td>{{ cell.federated | number }}</td>
<td>{{ cell.pooled | number }}</td><td>{{ cell | gain }}</td><td>{{ cell | interval }}</td>
<td class="text {{ cell.verdict | dashed }}">{{ cell.verdict | mark }} {{ cell.verdict }}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
{% endif %}

<h2>How the run went</h2>
<p>{{ replies }} A refused reply did not follow the contract; a missing one did not come in time. Neither
enters the model.</p>
<dl>
<dt>contract</dt><dd><code>{{ result.contract.fingerprint }}</code></dd>
<dt>what travels</dt><dd>{{ "{:,}".format(result.contract.shared_parameters) }} numbers of a
{{ result.contract.architecture | spoken }} model, {{ sent }}</dd>
{% if result.engine %}<dt>merchants trained</dt><dd>{{ result.engine | join("; ") }}</dd>{% endif %}
<dt>seeds</dt><dd>{{ result.seeds | join(", ") or "none" }}</dd>
<dt>wall time</dt><dd>{{ result.seconds | short }} s</dd>
{% if result.command %}<dt>command</dt><dd><code>{{ result.command }}</code></dd>{% endif %}
{% for name, version in result.environment.items() %}<dt>{{ name }}</dt><dd>{{ version }}</dd>{% endfor %}
</dl>
</body>
</html>
"""
)
