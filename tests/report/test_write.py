"""The report's files: whole, self-contained, honest, and safe with any name in a trace."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from agentspark.errors import TraceWriteError
from agentspark.report import print_summary, summarize, write_report
from agentspark.report.html import render_html
from agentspark.report.markdown import render_markdown
from agentspark.report.plots import timeline_plot, tokens_plot
from agentspark.report.steps import MOST_ROWS
from agentspark.trace import PriceTable

EVIL = "</td><script>alert(1)</script>|`x`\x1b[31m\n# not a heading"


class Page(HTMLParser):
    """Collects what a page would load, and whether its tags close."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.identities: list[str] = []
        self.wide: list[str] = []  # where tables are that would widen the whole page
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "table" and "div.scroll" not in self.open:
            self.wide.append(str(self.getpos()))
        if tag not in self.VOID:
            scrolls = ("class", "scroll") in attrs
            self.open.append(f"{tag}.scroll" if scrolls else tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "data"} or (name == "xlink:href"):
                self.loaded.append(value)
            if name == "id":
                self.identities.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().partition(".")[0] == tag


@pytest.fixture(scope="module")
def summary(make_both):
    return summarize(make_both(repeats=(1, 2), steps=6))


@pytest.fixture(scope="module")
def text(summary):
    return render_html(summary)


def test_three_files_and_nothing_else(tmp_path, make_both):
    (tmp_path / "new" / "folder").mkdir(parents=True)
    (tmp_path / "new" / "folder" / "report.html").write_text("an older report")

    paths = write_report(make_both(), tmp_path / "new" / "folder")

    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "report.html",
        "report.md",
        "report.json",
    }
    assert paths.html.read_text().startswith("<!doctype html>")
    data = json.loads(paths.json.read_text())
    assert set(data["arms"]) == {"baseline", "accelerated"}
    assert data["speedup"]["total"] == 4.0
    assert {"total", "decode", "ttft"} <= data["speedup"].keys()
    assert data["outputs_identical"] is True
    assert len(data["steps"]) == 4


def test_a_folder_that_cannot_be_written(tmp_path, make_both):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceWriteError, match="choose another folder"):
        write_report(make_both(), tmp_path / "file")


def test_a_failed_write_leaves_no_half_file(tmp_path, make_both, monkeypatch):
    from pathlib import Path

    def fail(self, text, encoding):
        self.touch()
        raise OSError(28, "No space left on device")

    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(TraceWriteError, match="No space left"):
        write_report(make_both(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def test_the_page_is_well_formed_and_loads_nothing(text):
    page = Page(text)

    assert page.open == []
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    assert all(target.startswith("#") for target in page.loaded)
    assert not re.search(r"url\((?!#)|@import", text)
    assert len(page.identities) == len(set(page.identities))
    assert page.tags.count("svg") == 5  # the brand and four plots
    assert len(text) < 200_000


def test_plots_take_their_colours_from_the_page(text):
    assert "#010a0" not in text
    assert "var(--prefill)" in text
    assert "font-family: 'DejaVu" not in text
    used = set(re.findall(r"var\((--[a-z-]+)\)", text))
    assert all(f"  {name}:" in text for name in used)


def test_the_page_is_the_same_for_the_same_summary(summary, text):
    assert render_html(summary) == text


def test_the_page_says_the_numbers(text):
    assert "4.00×" in text  # noqa: RUF001
    assert "Same outputs in all 12 pairs" in text
    assert "Read this first" not in text
    assert "read a.py" in text


def test_tables_scroll_by_themselves_on_a_narrow_screen(make_run):
    records = make_run("baseline", 3) + make_run("accelerated", 1, at_s=50)
    assert Page(render_html(summarize(records))).wide == []


def test_differences_and_gaps_are_on_top_of_the_page(make_run, make_record):
    records = make_run("baseline", 3) + make_run("accelerated", 1, at_s=50)
    records.append(make_record("accelerated", 2, output=[2, 7, 1, 9]))
    text = render_html(summarize(records))

    first, _, rest = text.partition("Speed-up of the model calls")
    assert "Outputs differ in 1 of 2 pairs" in first
    assert "Read this first" in first
    assert "Without a counterpart in the other arm" in first
    assert "Not compared" in rest
    assert "token 3" in rest


def test_names_from_traces_cannot_break_out(make_run):
    records = [
        *make_run("baseline", 2, run=EVIL, step_name=EVIL, model=EVIL),
        *make_run("accelerated", 2, at_s=50, run=EVIL, step_name=EVIL, model=EVIL),
    ]
    machine = records[0].environment.model_copy(update={"processor": EVIL, "system": EVIL})
    records = [record.model_copy(update={"environment": machine}) for record in records]
    prices = PriceTable(currency=EVIL, prompt=1.0, machine_hour={EVIL: 1.0})
    summary = summarize(records, title=EVIL, prices=prices)

    page = Page(render_html(summary))
    assert page.open == []
    assert "script" not in page.tags
    markdown = render_markdown(summary)
    assert "<script>" not in markdown
    assert "\x1b" not in markdown
    assert not any(line.startswith("# not") for line in markdown.splitlines())
    shown = printed(summary, 200)
    assert "</td><script>" in shown
    assert "\x1b" not in shown


def test_the_page_stays_small_and_says_what_it_leaves_out(make_run):
    records = []
    for number in range(90):
        for arm in ("baseline", "accelerated"):
            records += make_run(arm, 4, run=f"task-{number}", at_s=30.0 * len(records))
    summary = summarize(records)
    text = render_html(summary)

    assert len(summary.steps) == 360 > MOST_ROWS
    assert "report.json has 60 further steps" in text
    assert len(text) < 1_000_000
    assert "report.json has 60 further steps" in printed(summary, 100)
    assert len(printed(summary, 100).splitlines()) < MOST_ROWS + 300
    markdown = render_markdown(summary)
    assert "report.json has 60 further steps" in markdown
    assert len(markdown) < 65_536  # as much as a pull request takes


def test_a_plot_has_as_many_shapes_for_many_calls_as_for_few(make_both):
    few, many = (summarize(make_both(steps=steps)) for steps in (20, 80))
    for plot in (lambda summary: timeline_plot(summary.timeline), tokens_plot):
        # What differs are the labels of the axis, which are few.
        shapes = [plot(summary).count("<path") for summary in (few, many)]
        assert abs(shapes[0] - shapes[1]) < 20


def test_legends_name_the_phases_that_are_drawn(make_both):
    phases = dict.fromkeys(("queue_ms", "prefill_ms", "decode_ms"))
    untold = [record.model_copy(update=phases) for record in make_both()]
    for records, drawn in ((make_both(), ["prefill", "decode"]), (untold, ["unaccounted"])):
        page = render_html(summarize(records))
        legends = re.findall(r'<div class="legend">(.*?)</div>', page)
        # Of the timeline and of the steps; the first one explains more.
        assert [re.findall(r"</i>(.*?)</span>", legend) for legend in legends[1:3]] == [drawn] * 2


def test_reasoning_is_shown_as_a_part_of_the_output(make_both):
    def reasoned(tokens):
        return summarize(r.model_copy(update={"reasoning_tokens": tokens}) for r in make_both())

    for tokens in (None, 0):
        summary = reasoned(tokens)
        assert "reasoning)" not in render_html(summary) + render_markdown(summary)
    summary = reasoned(3)
    steps = len(summary.steps)
    for text in (render_html(summary), render_markdown(summary)):
        assert text.count("4 (3 reasoning)") >= steps
        assert f"{4 * steps} ({3 * steps} reasoning)" in text


def test_unknown_measurements_are_dashes_and_break_nothing(make_both):
    unknown = dict.fromkeys(
        (
            "queue_ms",
            "prefill_ms",
            "ttft_ms",
            "decode_ms",
            "cached_tokens",
            "rounds",
            "draft_tokens",
            "verified_tokens",
            "accepted_tokens",
            "accepted_histogram",
            "output_hash",
            "prompt_hash",
            "output_token_ids",
            "environment",
            "run",
            "step",
            "step_name",
            "step_kind",
        )
    )
    summary = summarize(record.model_copy(update=unknown) for record in make_both())

    assert Page(render_html(summary)).open == []
    assert "unknown whether outputs agree" in render_markdown(summary)
    assert summary.speedup.decode is None


def test_without_any_time_there_is_still_a_report(make_both):
    gone = dict.fromkeys(("total_ms", "prefill_ms", "ttft_ms", "decode_ms", "queue_ms"))
    summary = summarize(record.model_copy(update=gone) for record in make_both())

    assert summary.timeline is None
    assert summary.speedup.total is None
    assert Page(render_html(summary)).open == []
    assert "Speed-up –" in render_markdown(summary)  # noqa: RUF001


def test_markdown_tables_have_even_rows(summary):
    widths: list[int] = []
    for line in render_markdown(summary).splitlines():
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
        elif widths:
            assert len(set(widths)) == 1
            widths = []


def printed(summary, width):
    console = Console(width=width, file=io.StringIO())
    print_summary(summary, console)
    return console.file.getvalue()


def test_the_table_shows_each_step_and_the_whole(summary):
    lines = [line.split() for line in printed(summary, 100).splitlines() if line.strip()]

    assert lines[2][:2] == ["1", "plan"]
    assert lines[2][-2:] == ["4.00×", "yes"]  # noqa: RUF001
    assert lines[8][0] == "6"
    assert lines[8][-2:] == ["4.00×", "12/12"]  # noqa: RUF001


def test_the_table_fits_a_narrow_terminal(summary):
    long = summary.model_copy(
        update={"steps": [s.model_copy(update={"step_name": "x" * 90}) for s in summary.steps]}
    )

    text = printed(long, 80)

    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.count("4.00×") == 7  # noqa: RUF001
    assert "…" in text


@pytest.mark.parametrize("steps", [1, 2])
def test_steps_are_whole_numbers_on_their_axis(make_both, steps):
    plot = tokens_plot(summarize(make_both(steps=steps)))
    ticks = re.findall(r">([0-9.]+)</text>", plot)
    assert "1" in ticks
    assert not any(tick.startswith("0.") for tick in ticks)
