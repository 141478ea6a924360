"""The explorer's page: what the widget shows, in one file, driven by clicks and keys; hostile texts stay."""

import importlib.util
import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from helpers.data.traces import Trace, short_traces
from helpers.explorer import page, trace_view
from helpers.perturbations.arms import ARMS, CONTROLS, perturb
from helpers.puzzles import countdown
from helpers.workflow import recipe

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "outputs" / "reference" / "laptop" / "explorer.html"
needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and importlib.util.find_spec("playwright")),
    reason="needs Chromium (apt-get install chromium) and playwright",
)


def made(n: int = 40) -> dict[str, list[Trace]]:
    traces = countdown.correct_traces("train", n, 0)
    return {
        "correct": traces,
        "wrong": countdown.wrong_traces("train", n, 0),
        "short": short_traces(traces),
    }


def data(html: str) -> dict:
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1]
    )


def test_every_arm_of_the_paper_and_every_control_is_as_the_widget_shows_it():
    traces = made()
    found = data(page.explorer_page(traces, "laptop"))
    assert len(found["states"]) == 10
    assert all(list(state) == [*ARMS, *CONTROLS] for state in found["states"])
    chosen = page.spread(traces["correct"])
    for number, arm in ((0, "shuffle-67"), (4, "insert-100"), (9, "propagated-100")):
        shown = trace_view.render(perturb(chosen[number], arm, 0, traces["correct"]), arm)
        assert trace_view.STYLE + found["states"][number][arm] == shown
    assert found["families"]["digits"]["arms"] == ["digits-20", "digits-50", "digits-70", "digits-100"]


def test_traces_are_spread_over_their_lengths():
    traces = made(200)["correct"]
    lengths = [len(t.steps) for t in page.spread(traces)]
    assert lengths == sorted(lengths) and len(lengths) == 10
    assert (lengths[0], lengths[-1]) == (
        min(map(lambda t: len(t.steps), traces)),
        max(len(t.steps) for t in traces),
    )
    assert len(page.spread(traces[:3])) == 3 and len(page.spread(traces[:11])) == 10


def test_long_traces_make_a_page_of_fewer():
    steps = tuple(f"Step {i}. " + "Wait, is that so? 17+4=21. " * 40 for i in range(30))
    long = [Trace(f"t{i}", "Why?", steps, "So it is.", "21", "mine") for i in range(10)]
    html = page.explorer_page({"correct": long}, "mine")
    found = data(html)
    assert 1 <= len(found["states"]) < 10 and len(html.encode()) < 3_000_000
    assert "propagated" not in found["families"] and "wrong" not in found["families"]


def test_without_correct_traces_there_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="run notebook 01 first"):
        page.explorer_page({"wrong": made(5)["wrong"]}, "x")
    assert page.page_of_run(tmp_path) is None


def test_the_committed_page_is_that_of_the_reference_run():
    n = recipe.load("laptop", ROOT / "notebooks")["01_data_preparation"]["n_traces"]
    assert COMMITTED.read_text() == page.explorer_page(made(n), "laptop")
    assert COMMITTED.stat().st_size < 3_000_000


@pytest.fixture(scope="module")
def chromium():
    from tests.support import lab

    with lab.browser() as chromium:
        yield chromium


def opened(chromium, path, width=1440, scheme="light", at=""):
    from tests.support import lab

    opened = lab.new_page(chromium, width, 1000, scheme)
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on("console", lambda message: opened.errors.append(message.text))
    opened.goto(path.as_uri() + at)
    return opened


@needs_browser
@pytest.mark.browser
def test_the_page_follows_clicks_keys_and_its_address(chromium, tmp_path):
    path = tmp_path / "explorer.html"
    path.write_text(page.explorer_page(made(), "laptop"))
    shown = opened(chromium, path)
    moved = shown.locator("td.trace-moved")
    heading = shown.locator("#shown th").last
    assert heading.text_content() == "shuffle-67" and moved.count() > 2
    assert shown.locator("#at").inner_text() == "67 %"
    shown.locator("#percent").focus()
    shown.keyboard.press("ArrowRight")
    assert heading.text_content() == "shuffle-100"
    shown.locator("#family").select_option("delete")
    assert heading.text_content() == "delete-67" and shown.locator("td.trace-deleted").count() > 2
    before = shown.locator("#shown p").first.inner_text()
    shown.get_by_role("button", name="next ▶").click()
    assert shown.locator("#shown p").first.inner_text() != before
    shown.get_by_role("button", name="◀ previous").click()
    assert shown.locator("#shown p").first.inner_text() == before
    shown.locator("h1").click()
    shown.keyboard.press("ArrowDown")
    assert heading.text_content() == "insert-67"
    shown.keyboard.press("n")
    assert shown.url.endswith("#6/insert-67")
    slider = shown.locator("#percent").bounding_box()
    shown.mouse.click(slider["x"] + 2, slider["y"] + slider["height"] / 2)
    assert heading.text_content() == "insert-33"
    shown.locator("#family").select_option("short")
    assert shown.locator("#percent").is_disabled() and "no thought" in shown.locator("#shown").inner_text()
    assert opened(chromium, path, at="#2/digits-70").locator("#shown th").last.text_content() == "digits-70"
    for nonsense in ("#99/nothing", "#<img src=x onerror=alert(1)>", "#%E0%A4%A"):
        strange = opened(chromium, path, at=nonsense)
        assert strange.locator("#shown th").last.text_content() == "shuffle-67"
        assert strange.dialogs == [] and strange.errors == []
    assert shown.errors == [] and shown.asked == []


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone(chromium, tmp_path, scheme):
    path = tmp_path / "explorer.html"
    path.write_text(page.explorer_page(made(), "laptop"))
    shown = opened(chromium, path, 390, scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    light = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light == ("rgb(246, 248, 250)" if scheme == "light" else "rgb(13, 17, 23)")


ATTACKS = (
    "</script><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 2'>&lt;\"'",
    "<!--<script>", "</style></div></td></table><svg onload=window.owned=3>", "\u2028\u2029{{ 7*7 }}`${7*7}`",
)  # fmt: skip


@needs_browser
@pytest.mark.browser
def test_hostile_texts_stay_texts_on_the_page(chromium, tmp_path):
    attack = " ".join(ATTACKS)
    traces = [Trace(f"{attack}{i}", attack, (attack, *ATTACKS), attack, attack, attack) for i in range(3)]
    path = tmp_path / "explorer.html"
    path.write_text(page.explorer_page({"correct": traces}, attack))
    shown = opened(chromium, path)
    for family in data(path.read_text())["families"]:
        shown.locator("#family").select_option(family)
        assert ATTACKS[1] in shown.locator("#shown").inner_text()
    shown.wait_for_timeout(300)
    assert shown.evaluate("window.owned === undefined") and shown.dialogs == [] and shown.errors == []
    assert shown.locator("#shown script, #shown img, #shown [onload], h1 script").count() == 0
    assert "{{ 7*7 }}" in unescape(shown.content())
