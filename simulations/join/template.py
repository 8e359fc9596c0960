"""The page of one merchant's question."""

TITLE = "{{ found.name }}: should {{ found.merchant }} join?"

BODY = """<h1>{{ found.name }}: should {{ found.merchant }} join?</h1>
<p class="answer">{{ found.answer }}</p>
<ul>{% for sentence in found.sentences %}<li>{{ sentence }}</li>{% endfor %}
<li>{{ price }}</li></ul>
<p class="soft">The agreed level is {{ found.agreed }}.
{% if not found.private %}The contract has no [privacy] table, so no other level was measured.{% endif %}
{{ found.seeds | length }} seed{{ "s" if found.seeds | length != 1 }}. “Alone” is the strongest way to train
alone, one for all merchants, chosen on validation rows, which favours it. All ways are judged on the
same test
rows of {{ found.merchant }}.</p>
<p class="soft">Bounds are those of a paired bootstrap over whole shoppers (for tasks of items, over
items), and
at every level they hold for all tasks together with {{ (100 * found.confidence) | round | int }} % confidence
(Bonferroni). They say how it would be with other shoppers, not with another seed. Between levels nothing was
corrected.</p>
{% for meaning in meanings %}<p class="soft">{{ meaning }}</p>{% endfor %}

{% for drawn, guide in figures %}
<figure><div class="wide">{{ drawn }}</div><figcaption>{{ guide }}</figcaption></figure>
{% endfor %}

<h2>Task by task</h2>
{% for task, lines in tasks %}
<h3>{{ task.name | spoken }}: {{ task | axis }}</h3>
<div class="wide"><table>
<tr><th class="text">level</th><th>alone</th><th>joined</th><th>all rows in<br>one place</th>
<th>gain</th><th>{{ bounds }}</th><th class="text">verdict</th></tr>
{% for line, cells, verdict in lines %}
<tr{% if line.level == found.agreed %} class="all"{% endif %}><td class="text">{{ line.level }}</td>
{% for cell in cells[:-1] %}<td>{{ cell }}</td>{% endfor %}
<td class="text {{ verdict }}">{{ cells[-1] }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">{{ lines[0][0].test_rows }} test rows of {{ lines[0][0].shoppers }} shoppers or items.
Alone is
{{ task.alone_method | spoken }}.</p>
{% endfor %}

{% if taking_part %}
<h2>Taking part, or only receiving</h2>
<p>A merchant that only receives the release spends nothing and says nothing about its shoppers. Both
with all of
its own orders:</p>
<div class="wide"><table>
<tr><th class="text">task</th><th>receiving</th><th>taking part</th><th>gain</th><th>{{ bounds }}</th></tr>
{% for task, receiving, joined, gain, between, verdict in taking_part %}
<tr><td class="text">{{ task }}</td><td>{{ receiving }}</td><td>{{ joined }}</td>
<td class="{{ verdict }}">{{ gain }}</td><td>{{ between }}</td></tr>
{% endfor %}
</table></div>
{% endif %}

<h2>What it costs</h2>
<div class="wide"><table>
<tr><th class="text">level</th>{% for column in cost_columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for level, cells in costs %}
<tr><td class="text">{{ level }}</td>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="soft">Of one training. Bytes are of arrays, up as the coordinator recorded them; an instruction
and the
transport add a little. Seconds are processor time of this merchant's own work, measured here, on one
thread; on
another machine they are others. Epsilon is counted by its ledger. What it serves is fitted at home and spends
nothing.</p>

<h2>For the federation</h2>
<ul>{% for sentence in found.federation %}<li>{{ sentence }}</li>{% endfor %}</ul>
{% if found.left_out %}
<p>{{ found.left_out }} of {{ found.trainers }} merchants that train were left out of the training in turn
{%- if found.left_out < found.trainers and found.left_out > 1 %}, drawn at random
{%- if taking_part %} beside {{ found.merchant }}{% endif %}: the others' contributions
are not known{% endif %}. The gain is that of the others' mean
metric; bounds are at 95 % each, over the others' shoppers
{%- if found.seeds | length > 1 %} and seeds{% else %}; with one seed they leave out the noise of the training
{%- endif %}.</p>
<details><summary>All contributions</summary><div class="wide"><table>
<tr><th class="text">merchant</th><th class="text">task</th><th>others</th><th>without it</th><th>with it</th>
<th>gain</th><th>95 % bounds</th></tr>
{% for one, without, joined, gain, between, verdict in contributions %}
<tr><td class="text">{{ one.merchant }}</td><td class="text">{{ one.task | spoken }}</td><td>{{
one.others }}</td>
<td>{{ without }}</td><td>{{ joined }}</td><td class="{{ verdict }}">{{ gain }}</td><td>{{ between
}}</td></tr>
{% endfor %}
</table></div></details>
{% else %}<p>No merchant was left out of the training in turn.</p>{% endif %}

"""
