"""How long the explorer takes to redraw, in JupyterLab in a headless Chromium, through a real kernel.

    python tests/benchmarks/explorer.py [--steps 200] [--characters 16000] [--repeats 12]

From the event of the input (a key, a click) to the frame in which the changed picture is painted, measured
in the page; and of it the time that the kernel spends in Python: the perturbation, its numbers and its HTML.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from helpers.data.traces import Trace, write_traces  # noqa: E402
from tests.benchmarks.arms import SENTENCES  # noqa: E402
from tests.support import lab  # noqa: E402
from tests.support.notebooks import write_notebook  # noqa: E402

NOTEBOOK = """import sys, time, pathlib
sys.path.insert(0, "..")
from helpers.explorer import widgets
from helpers.data.traces import read_traces
told = widgets.told
def timed(picture):
    start = time.perf_counter()
    shown = told(picture)
    with open("spent.txt", "a") as file:
        file.write(f"{1000 * (time.perf_counter() - start)}\\n")
    return shown
widgets.told = timed
widgets.explore(read_traces("traces.parquet"), arm="shuffle-50")"""

# What is there after a change is painted in the next frame; a message posted in that frame comes after it.
WATCH = """() => {
  const shown = document.querySelector('.widget-html-content');
  let start = null;
  window.times = [];
  for (const name of ['keydown', 'pointerdown', 'input'])
    document.addEventListener(name, () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    if (start === null) return;
    const begun = start;
    start = null;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.times.push(performance.now() - begun);
      channel.port2.postMessage(0);
    });
  }).observe(shown, {childList: true, subtree: true});
}"""


def long_trace(number: int, steps: int, characters: int) -> Trace:
    """A trace of so many steps, and of so many characters altogether."""
    rng = random.Random(number)
    texts = []
    for _ in range(steps):
        text = ""
        while len(text) < characters // steps:
            text += " " * bool(text) + rng.choice(SENTENCES).strip().format(n=rng.randrange(500))
        texts.append(text[: characters // steps])
    return Trace(f"long-{number}", "How many?", tuple(texts), "It is \\boxed{5}.", "5", "made up")


def control(page: Page, description: str, inner: str) -> Locator:
    label = page.locator(".widget-label", has_text=description)
    return page.locator(".widget-inline-hbox").filter(has=label).first.locator(inner)


def pick(select: Locator, arrow: str) -> None:
    """The next or previous of a list by keys; without the list open JupyterLab takes an arrow for itself."""
    for key in ("Alt+ArrowDown", arrow, "Enter"):
        select.press(key)


def after(page: Page, repeats: int, act) -> list[float]:
    """Milliseconds until painted, for each time that something is done."""
    begun = page.evaluate("window.times.length")
    for k in range(repeats):
        act(k)
        page.wait_for_function(f"window.times.length > {begun + k}", timeout=60_000)
        page.wait_for_timeout(200)
    return page.evaluate(f"window.times.slice({begun})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("--steps", 200), ("--characters", 16_000), ("--repeats", 12)):
        parser.add_argument(name, type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = lab.house(Path(name))
        notebooks = folder / "notebooks"
        traces = [long_trace(i, options.steps, options.characters) for i in range(options.repeats + 2)]
        write_traces(traces, notebooks / "traces.parquet")
        write_notebook(notebooks / "explorer.ipynb", NOTEBOOK)
        with lab.served(folder) as url, lab.browser() as chromium:
            page = lab.opened(chromium, url, "notebooks/explorer.ipynb")
            lab.run_all(page)
            page.locator(".widget-html .trace").wait_for()
            page.wait_for_timeout(2000)
            page.evaluate(WATCH)
            handle, arms = control(page, "per cent", ".noUi-handle"), control(page, "arm", "select")
            number = page.get_by_role("button", name="next ▶")
            acts = {
                "slider, an arrow key": lambda k: handle.press("ArrowRight"),
                "arm, from its list": lambda k: pick(arms, "ArrowDown" if k % 2 == 0 else "ArrowUp"),
                "next trace, a click": lambda k: number.click(),
            }
            spent = notebooks / "spent.txt"
            print(
                f"{options.steps} steps, {options.characters} characters; milliseconds to the painted picture"
            )
            for words, act in acts.items():
                before = len(spent.read_text().split())
                times = after(page, options.repeats, act)
                python = [float(x) for x in spent.read_text().split()[before:]]
                share = sum(python) / sum(times)
                print(f"  {words:22} median {statistics.median(times):4.0f}, longest {max(times):4.0f}; "
                      f"in Python {statistics.median(python):3.0f}, {share:.0%} of all")  # fmt: skip
            print(
                json.dumps({"page": page.evaluate("document.querySelector('.widget-html').innerHTML.length")})
            )


if __name__ == "__main__":
    main()
