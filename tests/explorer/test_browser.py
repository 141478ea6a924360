"""The explorer in JupyterLab in a headless Chromium, by real clicks and keys; hostile texts stay texts."""

import importlib.util
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest

from helpers.data.traces import Trace, short_traces, write_table, write_traces
from helpers.puzzles import countdown
from tests.support.notebooks import write_notebook
from tests.support.processes import processes_in

ATTACKS = (
    "</style></div></td></table><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 2'>&lt;\"'",
    "</textarea></pre>--><svg onload=window.owned=3>",
    '[a](javascript:window.owned=4) <a href="javascript:window.owned=5">b</a>',
)

ready = shutil.which("chromium") and importlib.util.find_spec("playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(not ready, reason="needs Chromium (apt-get install chromium) and playwright"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder, the address of the server on it and a browser; no process of theirs is left afterwards."""
    from tests.support import lab

    folder = lab.house(tmp_path_factory.mktemp("site"), "02_perturbations")
    with lab.served(folder) as url, lab.browser() as chromium:
        yield folder, url, chromium
    assert processes_in(folder) == []


def labelled(page, description):
    """The control with a description, in the first explorer of the page."""
    label = page.locator(".widget-label", has_text=description)
    return page.locator(".widget-inline-hbox").filter(has=label).first


def picture(page):
    return page.locator(".widget-html .trace").first


def moved(page):
    return picture(page).locator("tr td:nth-child(2).trace-moved").count()


def until(page, seen):
    """Waits until a condition in the page holds."""
    page.wait_for_function(seen, timeout=180_000)


def test_notebook_02_is_run_and_its_explorer_follows_clicks_and_keys(site):
    from tests.support import lab

    folder, url, chromium = site
    traces = countdown.correct_traces("train", 30, seed=0)
    kinds = {
        "correct": traces,
        "wrong": countdown.wrong_traces("train", 30, 0),
        "short": short_traces(traces),
    }
    for kind, made in kinds.items():
        path = folder / "outputs" / "by_hand" / "traces" / f"{kind}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(made, path)
    page = lab.opened(chromium, url, "notebooks/02_perturbations.ipynb")
    lab.run_all(page)
    picture(page).wait_for()
    picture(page).scroll_into_view_if_needed()
    some = moved(page)
    assert some > 2 and "shuffle-67" in picture(page).inner_text()

    handle = labelled(page, "per cent").locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    box, track = handle.bounding_box(), labelled(page, "per cent").locator(".noUi-base").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] - 40, box["y"] + 5, steps=8)
    page.mouse.up()
    until(page, "document.querySelector('.widget-html .trace').innerText.includes('shuffle-0')")
    assert moved(page) == 0
    handle.press("End")
    until(page, "document.querySelector('.widget-html .trace').innerText.includes('shuffle-100')")
    assert moved(page) > some

    labelled(page, "arm").locator("select").select_option("delete")
    until(page, "document.querySelector('.widget-html .trace').innerText.includes('an empty thought')")
    assert picture(page).locator("td.trace-deleted").count() > some
    code = labelled(page, "as code").locator("input")
    counted = "tokenizer='../base_model/tokenizer.json'"
    as_code = 'explore(traces, trace={}, arm="delete-100", seed=0, ' + counted + ")"
    assert code.input_value() == as_code.format(3)
    page.get_by_role("button", name="next ▶").first.click()
    until(page, f"document.querySelector('.widget-html .trace').innerText.includes('{traces[4].id},')")
    assert code.input_value() == as_code.format(4)

    labelled(page, "find").locator("input").click()
    page.keyboard.type("the ans")
    page.get_by_text("“the ans” found 1 times in the original, 1 times in the result").first.wait_for()
    assert picture(page).locator("mark").count() == 2
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.dialogs == [] and [url for url in page.asked if "colab-badge" not in url] == []
    page.close()


HOSTILE = """import sys
sys.path.insert(0, "..")
from IPython.display import HTML
from helpers.explorer.responses import in_common, page_of, read_run
from helpers.explorer.trace_view import render
from helpers.explorer.widgets import compare, explore
from helpers.perturbations.arms import perturb
from helpers.data.traces import read_traces
traces = read_traces("traces.parquet")
explore(traces, arm="insert-50", find=traces[0].problem)
---
HTML(render(perturb(traces[0], "insert-50", 0, traces), traces[0].id, traces[0].problem))
---
compare(".", "a.s0", "b.s0")
---
HTML(page_of(in_common(read_run(".", "a.s0"), read_run(".", "b.s0"), "countdown"), ["a", traces[0].id], 0))"""


def hostile_notebook(folder):
    """The path of a notebook that shows traces and responses which try to become markup."""
    notebooks, attack = folder / "notebooks", " ".join(ATTACKS)
    steps = (attack, "b " + attack, "c", *ATTACKS)
    traces = [Trace(f"{attack}{i}", ATTACKS[i], steps, attack, attack, attack) for i in range(4)]
    write_traces(traces, notebooks / "traces.parquet")
    keys = {"benchmark": ["countdown"] * 4, "problem_id": list("abcd")}
    texts = {name: [attack] * 4 for name in ("problem", "answer", "response")}
    for run in ("a.s0", "b.s0"):
        answers = keys | texts | {"tokens": [1] * 4, "finished": [True] * 4}
        write_table(pa.table(answers), notebooks / "generations" / f"{run}.parquet")
        scores = keys | {"status": [attack] * 4, "correct": [False] * 4}
        write_table(pa.table(scores), notebooks / "scores" / f"{run}.parquet")
    return write_notebook(notebooks / "hostile.ipynb", *map(str.strip, HOSTILE.split("---")))


def nothing_ran(page):
    page.wait_for_timeout(1000)
    ours = page.locator(
        ".trace script, .trace img, .trace a, .trace textarea, .trace [onload], .trace [onerror]"
    )
    return page.dialogs == [] and page.evaluate("window.owned === undefined") and ours.count() == 0


def test_hostile_texts_stay_texts_in_the_widget_and_in_the_executed_notebook(site):
    from tests.support import lab

    folder, url, chromium = site
    path = hostile_notebook(folder)
    page = lab.opened(chromium, url, "notebooks/hostile.ipynb")
    lab.run_all(page)
    page.wait_for_function(
        "document.querySelectorAll('.jp-Notebook .trace').length == 4", timeout=lab.PATIENCE
    )
    labelled(page, "find").locator("input").fill(ATTACKS[2])
    page.get_by_text(f"“{ATTACKS[2]}” found").last.wait_for()
    page.get_by_role("button", name="next ▶").first.click()
    page.get_by_role("button", name="next ▶").last.click()
    assert nothing_ran(page)
    for place in page.locator(".jp-Notebook .trace").all():
        assert all(attack in place.inner_text() for attack in ATTACKS)
    page.close()
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", str(path)]
    subprocess.run(command, check=True, cwd=path.parent)
    page = lab.new_page(chromium)
    page.goto(path.with_suffix(".html").as_uri())
    assert nothing_ran(page)
    assert page.locator(".trace").count() >= 2
    assert all(attack in page.locator(".trace").first.inner_text() for attack in ATTACKS)
