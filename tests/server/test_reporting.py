import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from pydantic import ValidationError
from rich.console import Console

from server.reporting import html, merchant_plots, plots, results, terminal, wording
from server.reporting.results import Cell, ContractFacts, Summary
from server.reporting.style import svg
from shared_model.errors import StateError
from tests.factories import TASKS, make_result

DAYS, REVIEW, UNITS, ITEM = TASKS


def summary(task="delivery_days", **numbers):
    usual = {"alone": 0.5, "gain": 0.05, "gain_percent": 10.0, "low": 0.02, "high": 0.08, "wins": 9}
    return Summary(task=task, group="all", merchants=12, worse_than_2_percent=0, **(usual | numbers))


@pytest.fixture(scope="module")
def result():
    return make_result()


@pytest.fixture(scope="module")
def page(result):
    return html.page(result)


# --- the file -------------------------------------------------------------------------------------------


def test_a_result_reads_back_as_it_was_written(result, tmp_path):
    results.write(result, tmp_path / "result.json")
    assert results.read(tmp_path / "result.json") == result


def test_numbers_that_could_not_be_computed_are_null_in_the_file(tmp_path):
    cell = Cell(merchant="acme", task="late", test_rows=0, alone=float("nan"), gain=float("inf"))
    results.write(make_result(cells=(cell,)), tmp_path / "result.json")
    written = json.loads((tmp_path / "result.json").read_text())["cells"][0]
    assert written["alone"] is None
    assert written["gain"] is None


def test_a_metric_in_words_is_refused():
    with pytest.raises(ValidationError):
        Cell(merchant="acme", task="late", test_rows=0, alone="good")


def test_another_format_is_refused_with_both_numbers(result, tmp_path):
    path = tmp_path / "result.json"
    results.write(result, path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StateError, match="has format 2, this version reads 1"):
        results.read(path)


def test_an_unknown_key_is_refused_by_name(result, tmp_path):
    path = tmp_path / "result.json"
    results.write(result, path)
    path.write_text(path.read_text().replace('"seconds": 41.2', '"secondz": 41.2', 1))
    with pytest.raises(StateError, match="secondz"):
        results.read(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "3"])
def test_a_damaged_file_is_refused(content, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(StateError, match="is not a result file"):
        results.read(path)


# --- the words ------------------------------------------------------------------------------------------


def test_the_answer_sorts_tasks_by_what_their_intervals_show():
    lines = (
        summary("delivery_days"),
        summary("bad_review", low=-0.1),
        summary("units", low=-0.1, high=-0.05),
    )
    assert wording.answer(make_result(summary=lines)) == (
        "On average, merchants do better together on delivery days. "
        "On average, merchants do worse together on units. No clear difference shows on bad review."
    )


def test_an_error_that_falls_is_told_as_lower():
    assert wording.sentence(DAYS, summary()) == (
        "9 of 12 merchants do better on delivery days; the rmse is on average 10.0 % lower "
        "(95 % interval of the gain: +4.0 % to +16.0 %)."
    )


def test_a_recall_that_rises_is_told_as_higher():
    assert "recall@10 is on average 10.0 % higher" in wording.sentence(ITEM, summary("next_item"))


def test_a_recall_that_falls_is_told_as_lower():
    assert "on average 4.0 % lower" in wording.sentence(ITEM, summary("next_item", gain_percent=-4.0))


def test_a_task_served_as_alone_everywhere_is_said_to_be_the_same():
    served = summary("next_item", gain=0.0, gain_percent=0.0, low=0.0, high=0.0, wins=0)
    assert (
        wording.sentence(ITEM, served)
        == "On next item every merchant is served what it would be served alone."
    )


def test_a_gain_without_a_metric_alone_has_no_percentage():
    assert wording.relative(0.1, 0.0) is None
    assert wording.relative(0.1, -0.5) == 20.0


def test_replies_are_counted_over_all_rounds(result):
    # 80 rounds of 12 merchants, one of them missing in every tenth
    assert wording.replies(result) == "80 rounds: 952 replies used, 0 refused, 8 missing."


def test_what_moved_is_said_for_a_merchant_and_for_all_of_a_round():
    facts = ContractFacts(
        fingerprint="", architecture="wide", rounds=80, shared_parameters=1, bytes_per_round=1500,
        bytes_down=1000, bytes_up=500, merchants_per_round=20, bytes_of_all=30_000,
    )  # fmt: skip
    assert wording.sent(facts) == (
        "80 rounds, 1,000 bytes down and 500 up for a merchant and round, "
        "30,000 in all for 20 merchants asked"
    )


def test_the_page_says_how_merchants_trained(result):
    told = html.page(replace(result, engine=("12 merchants of a round one after another (engine = loop)",)))
    assert "12 merchants of a round one after another (engine = loop)" in told


# --- the plots ------------------------------------------------------------------------------------------


def all_plots(result):
    shown = result.tasks, result.merchants, result.cells
    return (
        plots.gain_by_task(result.tasks, result.summary),
        plots.methods_by_task(result.tasks, result.summary),
        plots.validation_by_round(result.rounds),
        merchant_plots.gain_by_merchant(*shown),
        merchant_plots.gain_by_size(*shown),
    )


def words_of(figure: Figure):
    return " ".join(text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("merchants", [1, 3, 40])
def test_every_plot_can_be_drawn_for_any_number_of_merchants(merchants):
    drawn = [svg(figure, "plot") for figure in all_plots(make_result(merchants=merchants))]
    assert [ElementTree.fromstring(d).tag for d in drawn] == ["{http://www.w3.org/2000/svg}svg"] * 5


def test_plots_of_nothing_are_empty_rather_than_an_error():
    empty = replace(make_result(), tasks=(), merchants=(), cells=(), summary=(), rounds=())
    assert len([svg(figure, "plot") for figure in all_plots(empty)]) == 5


def test_plots_name_tasks_metrics_and_directions(result):
    words = words_of(plots.methods_by_task(result.tasks, result.summary))
    assert "rmse (log days), lower is better" in words
    assert "recall@10, higher is better" in words


def test_the_way_to_pooling_is_the_share_of_what_pooling_gains():
    # alone 0.5, pooled 0.4: federated gains 0.05 of 0.1
    words = words_of(plots.methods_by_task([DAYS], [summary(federated=0.45, pooled=0.4)]))
    assert "50 % of the way to pooling" in words


def test_where_pooling_gains_nothing_no_share_is_claimed():
    assert "pooling" not in words_of(plots.methods_by_task([ITEM], [summary("next_item", pooled=0.4)]))


def test_the_heat_map_puts_the_largest_merchant_first(result):
    figure = merchant_plots.gain_by_merchant(result.tasks, result.merchants, result.cells)
    largest = max(result.merchants, key=lambda m: m.orders)
    axes = figure.axes[0]
    assert axes.get_yticklabels()[0].get_text() == f"{largest.name} ({largest.orders})"
    assert axes.yaxis_inverted()


def test_text_in_a_plot_stays_text_and_takes_the_colours_of_the_page(result):
    drawn = svg(plots.gain_by_task(result.tasks, result.summary), "gain")
    assert "Clearly better together on" in drawn
    assert "currentColor" in drawn


def test_two_plots_on_one_page_share_no_identifier(result):
    page_ids = [
        set(re.findall(r'\bid="([^"]+)"', svg(f, name)))
        for f, name in zip(all_plots(result), "abcde", strict=True)
    ]
    assert len(set.union(*page_ids)) == sum(map(len, page_ids))


def test_a_plot_takes_no_colour_from_a_verdict_of_its_name(result):
    assert 'class="figure-gains"' in svg(all_plots(result)[0], "gains")


# --- the page -------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_loads_nothing_and_runs_nothing(page):
    tags = Tags(page).found
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    links = [v for _, attrs in tags for k, v in attrs.items() if k in {"src", "href", "xlink:href"}]
    assert [v for v in links if not v.startswith("#")] == []
    assert re.findall(r"url\((?!#)|@import", page) == []


def test_the_answer_stands_before_any_number(page, result):
    assert page.index(wording.answer(result)) < page.index("<table")


def test_the_page_says_in_words_that_privacy_is_off(page):
    assert "Differential privacy is\noff." in page
    assert "This federation ran without differential privacy" in page


def test_every_verdict_is_written_out_beside_its_colour(page):
    assert '<td class="text gains">▲ gains</td>' in page
    assert '<td class="text cannot-tell">● cannot tell</td>' in page


def test_missed_targets_are_shown_as_missed(page):
    assert "✓ met" in page
    assert "✗ missed" in page
    assert "for the record" in page


def test_names_are_escaped_in_text_and_in_pictures():
    evil = '<script>alert("$x$")</script>'
    shown = make_result()
    merchants = (replace(shown.merchants[0], name=evil), *shown.merchants[1:])
    cells = tuple(replace(c, merchant=evil) for c in shown.cells if c.merchant == shown.merchants[0].name)
    drawn = html.page(replace(shown, merchants=merchants, cells=cells, name=evil))
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") > 2


def test_the_same_result_gives_the_same_page(page, result):
    assert html.page(result) == page


def test_a_coordinators_own_run_has_a_page_without_merchants_metrics(tmp_path):
    own = make_result(cells=(), summary=(), checks=(), tasks=())
    html.write_report(own, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "they never leave a merchant" in page
    assert "Merchant by merchant" not in page
    assert "Validation loss over 80 rounds" in page


# --- the terminal ---------------------------------------------------------------------------------------


def printed(result):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(terminal.report(result))
    return capture.get()


def test_the_terminal_shows_every_merchant_and_ends_with_the_answer(result):
    shown = printed(result)
    assert [m.name for m in result.merchants if m.name not in shown] == []
    assert shown.rindex("▲ gains") < shown.index("On average, merchants do better together")


def test_square_brackets_in_a_name_are_not_markup():
    shown = make_result()
    merchants = (replace(shown.merchants[0], name="[red]acme[/red]"),)
    cells = tuple(replace(c, merchant="[red]acme[/red]") for c in shown.cells[:1])
    assert "[red]acme[/red]" in printed(replace(shown, merchants=merchants, cells=cells))
