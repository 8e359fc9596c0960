"""The page of an audit as a jinja2 template; every value is escaped unless marked as safe, as our SVG is."""

from server.reporting.template import CSS

PAGE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.name }}: audit of the privacy claim</title>
<style>"""
    + CSS
    + """</style>
</head>
<body>
<header>
<h1>{{ report.name }}: {{ "does the mechanism keep its promise?" if report.kind == "certify"
else "what was released, and what did it cost?" }}</h1>
<p class="soft">Audit of {{ "the mechanism that the contract would run" if report.kind == "certify"
else "a finished run" }}; made {{ made }}</p>
</header>
<p class="banner{{ " on" if report.verdict == "holds" }}">
{% if report.verdict == "holds" %}<strong>Not refuted.</strong> {% endif %}{{ answer }}</p>
{% if against %}<ul>{% for title, name, says in against %}
<li>{{ title }}: <code>{{ name }}</code>. {{ says }}</li>
{% endfor %}</ul>{% endif %}
<p class="soft">{{ meaning }}</p>
{% if report.kind == "run" %}
<div class="wide"><table>
<tr><th>audited</th><th>charges</th><th>epsilon spent</th><th>of</th><th class="text">verdict</th></tr>
{% for section in report.sections %}{% set spent = section.claim["epsilon spent"] | default(none) %}
<tr><td class="path">{{ section.title }}</td><td>{{ section.claim["charges"] | default("") }}</td>
<td>{{ spent | number }}</td>
<td>{{ (none if spent is none else section.epsilon) | number }}</td>
<td class="text {{ "loses" if section.refuted else "gains" }}">
{{ "✗ " ~ section.refuted | join(", ") if section.refuted else "✓ holds" }}</td></tr>
{% endfor %}
</table></div>
{% endif %}

<h2>The questions of NIST SP 800-226</h2>
<dl>
{% for question, text in report.questions %}<dt>{{ loop.index }}. {{ question }}</dt>
<dd>{{ text | code }}</dd>
{% endfor %}</dl>

{% if figures %}<h2>In pictures</h2>{% endif %}
{% for drawn, guide in figures %}
<figure><div class="wide">{{ drawn }}</div><figcaption>{{ guide }}</figcaption></figure>
{% endfor %}

{% if report.kind == "run" %}<h2>In detail</h2>{% endif %}
{% for section in report.sections %}
{% if report.kind == "run" %}
<details{{ " open" if section.refuted }}><summary>{{ section.title }}</summary>
{% else %}<h2>{{ section.title }}</h2>{% endif %}
{% if section.bounds %}
<p class="soft">From below: with this confidence, what was seen needs an epsilon of at least so much. It is
held against what the same steps may cost, which is less than the contract's epsilon where statistics or
telemetry have a share of it.</p>
<div class="wide"><table>
<tr><th>lower bound</th><th>at least</th><th>claimed</th><th>share</th><th>steps</th><th>confidence</th>
<th class="text">verdict</th><th class="text">what was seen</th></tr>
{% for bound in section.bounds %}
<tr><td>{{ bound.name }}</td><td>{{ bound.epsilon | number }}</td><td>{{ bound.claimed | number }}</td>
<td>{{ bound.share | number }}</td><td>{{ bound.steps }}</td><td>{{ bound.confidence }}</td>
<td class="text {{ "loses" if bound.refuted else "gains" }}">{{ "✗ refuted" if bound.refuted else "✓ holds"
}}</td> <td class="prose">{{ bound.says }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
<div class="wide"><table>
<tr><th>statistic</th><th>value</th><th>must be</th><th>p</th><th class="text">verdict</th>
<th class="text">what it is</th></tr>
{% for finding in section.findings %}
<tr><td>{{ finding.name }}</td><td>{{ finding | shown }}</td><td>{{ finding | bounds }}</td>
<td>{{ finding.p_value | number }}</td>
<td class="text {{ "gains" if finding.verdict == "holds" else "loses" }}">
{{ "✓ holds" if finding.verdict == "holds" else "✗ refuted" }}</td>
<td class="prose">{{ finding.says }}</td></tr>
{% endfor %}
</table></div>
<h3>{{ "Public constants" if report.kind == "certify" else "On record" }}</h3>
<dl>{% for name, value in constants[section.title] %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
{% if report.kind == "run" %}</details>{% endif %}
{% endfor %}

{% if report.mutants %}
<h2>Can this auditor see anything?</h2>
<p class="soft">The same checks on mechanisms that are broken in one part each.</p>
<div class="wide"><table>
<tr><th>broken mechanism</th><th class="text">caught by</th></tr>
{% for name, caught in report.mutants.items() %}
<tr><td>{{ name }}</td><td class="prose{{ "" if caught else " loses" }}">
{{ caught | join(", ") or "✗ nothing" }}</td></tr>
{% endfor %}
</table></div>
{% endif %}

<h2>How to repeat it</h2>
<dl>
<dt>command</dt><dd><code>{{ report.command }}</code></dd>
<dt>seed of the audit</dt><dd>{{ report.seed }}</dd>
<dt>contract</dt><dd><code>{{ report.fingerprint }}</code></dd>
<dt>signed by</dt><dd><code>{{ key }}</code> (the JSON file beside this page)</dd>
{% for name, version in versions.items() %}<dt>{{ name }}</dt><dd>{{ version }}</dd>{% endfor %}
</dl>
</body>
</html>
"""
)
