"""The trace explorer's controls: trace, arm, fraction, seed, find, previous and next, and the state as code.

    explore(traces)                                      # a list, or lists by kind as in notebook 02
    explore(traces, trace=3, arm="shuffle-67", seed=0)   # a state, as the explorer's own field gives it

Three thin widgets over the pure functions of trace_view.py, token_losses.py and responses.py; they need
a running kernel. Only what ipywidgets 7 (Colab) and 8 have in common is used. Every control takes the
keyboard: Tab goes from one to the next, arrows change numbers and the slider, space presses a button,
Alt+Down opens a list (JupyterLab keeps the bare arrow for its cells).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

import ipywidgets
import pandas as pd
from tokenizers import Tokenizer

from helpers.conditions import Condition
from helpers.data.traces import Trace
from helpers.explorer import responses
from helpers.explorer.trace_view import Tokens, render
from helpers.perturbations.arms import PERTURBATIONS, UNTOUCHED, parse_arm, perturb

BASE = str(Path(__file__).parents[2] / "base_model" / "tokenizer.json")
FIELD = ipywidgets.Layout(width="14em")
WIDE = ipywidgets.Layout(width="36em")
PRESS = ipywidgets.Layout(width="8em")

Traces = Sequence[Trace] | Mapping[str, Sequence[Trace]]


@cache
def counter(path: str) -> Tokens | None:
    """A function that counts tokens with the tokenizer.json at a path; None if there is no such file."""
    if not Path(path).is_file():
        return None
    tokenizer = Tokenizer.from_file(path)
    return lambda text: len(tokenizer.encode_batch_fast([text])[0])  # without offsets, which are slow


def explore(
    traces: Traces,
    trace: int | str = 0,
    arm: str = "shuffle-67",
    seed: int = 0,
    find: str = "",
    tokenizer: str = BASE,
) -> ipywidgets.Widget:
    """The first view with controls. `trace` is a number or an id; ValueError if there is no such trace.

    With text in "find", previous and next go to traces that contain it. `tokenizer` counts tokens ("": none).
    """
    chosen = Chooser(traces, trace, arm, seed, live=True)
    sought = ipywidgets.Text(
        value=find, description="find", placeholder="in steps and solution", layout=FIELD
    )
    code = ipywidgets.Text(description="as code", layout=WIDE)
    shown = ipywidgets.HTML()
    tokens = counter(tokenizer)

    def has(number: int) -> bool:
        trace = chosen.source[number]
        texts = (trace.problem, *trace.steps, trace.solution)
        return any(sought.value.lower() in text.lower() for text in texts)

    def update(_: object = None) -> None:
        more = f", find={sought.value!r}" if sought.value else ""
        more += f", tokenizer={tokenizer!r}" if tokenizer != BASE else ""
        code.value = f"explore(traces, {chosen.code}{more})"
        shown.value = told(lambda: render(perturb(*chosen.state), chosen.arm, sought.value, tokens))

    first = ipywidgets.HBox([*walk(chosen.number, has), chosen.number, sought])
    second = ipywidgets.HBox([chosen.name, chosen.percent, chosen.seed])
    return watched([*chosen.controls, sought], update, [first, second, code, shown])


def explore_losses(
    traces: Traces,
    base_model: str,
    adapters: str | Path,
    trace: int | str = 0,
    arm: str = "shuffle-67",
    seed: int = 0,
    model: str = "base",
) -> ipywidgets.Widget:
    """The second view with controls; `model` is "base" or a folder in `adapters` ("correct.s0").

    Measured losses are remembered, and one model is loaded at a time.
    """
    from helpers.explorer import (
        token_losses,  # imported late: torch takes seconds, and the other views do not need it
    )

    names = token_losses.trained(adapters)
    if model not in names:
        raise ValueError(f"{adapters} has no model {model!r}: there are {', '.join(names)}")
    chosen = Chooser(traces, trace, arm, seed, live=False)
    reader = ipywidgets.Dropdown(options=names, value=model, description="model", layout=FIELD)
    code = ipywidgets.Text(description="as code", layout=WIDE)
    shown = ipywidgets.HTML()
    read = token_losses.reader(base_model, adapters)

    def update(_: object = None) -> None:
        given = f"traces, {str(base_model)!r}, {str(adapters)!r}"
        code.value = f'explore_losses({given}, {chosen.code}, model="{reader.value}")'
        shown.value = told(lambda: token_losses.view(*chosen.state, reader.value, read))

    first = ipywidgets.HBox([*walk(chosen.number, lambda number: True), chosen.number, reader])
    second = ipywidgets.HBox([chosen.name, chosen.percent, chosen.seed])
    return watched([*chosen.controls, reader], update, [first, second, code, shown])


CHOICES = {
    "all": lambda left, right: True,
    "verdicts differ": lambda left, right: left != right,
    "only the left is right": lambda left, right: left == "ok" != right,
    "only the right is right": lambda left, right: left != "ok" == right,
    "neither is right": lambda left, right: left != "ok" != right,
}


def compare(
    output_dir: str | Path, left: str, right: str, benchmark: str = "", problem: int = 0, show: str = "all"
) -> ipywidgets.Widget:
    """The third view with controls: the responses of two runs ("correct.s0") in a folder, problem by problem.

    `problem` counts the problems that both answered; `benchmark` defaults to the first. `show`, one of
    `CHOICES`, says to which problems previous and next go.
    """
    names = responses.runs(output_dir)
    if missing := [name for name in (left, right) if name not in names]:
        raise ValueError(f"{output_dir} has no responses and scores of {missing[0]!r}: run notebook 04 first")
    read = cache(lambda name: responses.read_run(output_dir, name))
    sides = [
        ipywidgets.Dropdown(options=names, value=name, description=side, layout=FIELD)
        for name, side in ((left, "left"), (right, "right"))
    ]
    benchmarks = list(read(left).index.unique("benchmark"))
    if benchmark and benchmark not in benchmarks:
        raise ValueError(f"{left!r} has no responses to {benchmark!r}, but to {', '.join(benchmarks)}")
    chosen = ipywidgets.Dropdown(
        options=benchmarks, value=benchmark or benchmarks[0], description="benchmark", layout=FIELD
    )
    number = ipywidgets.BoundedIntText(value=0, min=0, max=2**31, description="problem", layout=FIELD)
    shows = ipywidgets.Dropdown(options=list(CHOICES), value=show, description="show", layout=FIELD)
    code = ipywidgets.Text(description="as code", layout=WIDE)
    shown = ipywidgets.HTML()

    def tables() -> list[pd.DataFrame]:
        return responses.in_common(*(read(side.value) for side in sides), chosen.value)

    def wanted(at: int) -> bool:
        return CHOICES[shows.value](*(table["status"].iloc[at] for table in tables()))

    def update(_: object = None) -> None:
        found = tables()
        number.max = max(len(found[0]) - 1, 0)
        given = f"{str(output_dir)!r}, {sides[0].value!r}, {sides[1].value!r}, {chosen.value!r}"
        code.value = f"compare({given}, problem={number.value}, show={shows.value!r})"
        shown.value = responses.page_of(found, [side.value for side in sides], number.value)

    number.value = problem
    first = ipywidgets.HBox([*walk(number, wanted), number, shows])
    second = ipywidgets.HBox([*sides, chosen])
    return watched([*sides, chosen, number, shows], update, [first, second, code, shown])


class Chooser:
    """Controls for trace, arm, fraction (per cent) and seed."""

    def __init__(self, traces: Traces, trace: int | str, arm: str, seed: int, live: bool) -> None:
        by_kind = (
            traces if isinstance(traces, Mapping) else {kind: traces for kind in {t.kind for t in traces}}
        )
        self.by_kind = {kind: list(made) for kind, made in by_kind.items() if len(made)}
        if not self.by_kind:
            raise ValueError("there are no traces to explore: run notebook 01 first")
        name, _ = parse_arm(arm)
        names = [*(kind for kind in UNTOUCHED if kind in self.by_kind), *PERTURBATIONS]
        if name not in names:
            raise ValueError(f"the arm {arm!r} needs {name} traces, and there are none")
        self.name = ipywidgets.Dropdown(options=names, value=name, description="arm", layout=FIELD)
        self.percent = ipywidgets.IntSlider(
            value=Condition(arm).percent, min=0, max=100, description="per cent", continuous_update=live
        )
        self.seed = ipywidgets.BoundedIntText(value=seed, min=0, max=2**31, description="seed", layout=FIELD)
        place = self.place(trace)
        self.number = ipywidgets.BoundedIntText(
            value=place, min=0, max=len(self.source) - 1, description="trace", layout=FIELD
        )
        self.controls = (self.number, self.name, self.percent, self.seed)
        self.name.observe(self.fit, names="value")
        self.fit()

    @property
    def source(self) -> list[Trace]:
        """The traces that the arm is made from (see `arms.make_arm`)."""
        by_kind = self.by_kind
        return by_kind.get(self.name.value) or by_kind.get("correct") or next(iter(by_kind.values()))

    @property
    def arm(self) -> str:
        return self.name.value if self.name.value in UNTOUCHED else f"{self.name.value}-{self.percent.value}"

    @property
    def code(self) -> str:
        """The arguments that restore this state."""
        return f'trace={self.number.value}, arm="{self.arm}", seed={self.seed.value}'

    @property
    def state(self) -> tuple[Trace, str, int, list[Trace]]:
        """The arguments of `perturb`."""
        return self.source[self.number.value], self.arm, self.seed.value, self.source

    def place(self, trace: int | str) -> int:
        """The number of a trace; ValueError if there is none."""
        ids = [t.id for t in self.source]
        if trace in ids:
            return ids.index(trace)
        if isinstance(trace, int) and 0 <= trace < len(ids):
            return trace
        raise ValueError(f"there is no trace {trace!r}: choose 0 to {len(ids) - 1}, or an id like {ids[0]!r}")

    def fit(self, _: object = None) -> None:
        """Adapt the controls to the arm: without a fraction, or with fewer traces."""
        self.percent.disabled = self.name.value in UNTOUCHED
        self.number.max = len(self.source) - 1


def walk(number: ipywidgets.BoundedIntText, wanted: Callable[[int], bool]) -> tuple[ipywidgets.Button, ...]:
    """Buttons that move a number to the previous and the next wanted one, if there is one."""

    def going(step: int) -> Callable[[object], None]:
        def go(_: object) -> None:
            stop = number.max + 1 if step > 0 else -1
            number.value = next(filter(wanted, range(number.value + step, stop, step)), number.value)

        return go

    buttons = [ipywidgets.Button(description=words, layout=PRESS) for words in ("◀ previous", "next ▶")]
    for button, step in zip(buttons, (-1, 1), strict=True):
        button.on_click(going(step))
    return tuple(buttons)


def told(picture: Callable[[], str]) -> str:
    """The picture, or the error that says why there is none: an arm that these traces cannot have."""
    try:
        return picture()
    except ValueError as error:
        return f"<p>{escape(str(error))}</p>"


def watched(
    controls: Sequence[ipywidgets.Widget], update: Callable[..., None], parts: Sequence[ipywidgets.Widget]
) -> ipywidgets.Widget:
    """The parts below one another; `update` is called now and whenever a control changes."""
    for control in controls:
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox(list(parts))
