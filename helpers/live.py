"""What a training shows of itself while it runs: loss, tokens per second, the time left.

    correct: step 120/500, loss 0.412, 5,130 tokens/s, 62 s left

In a notebook one picture is drawn anew in its place, so an executed notebook keeps a single output; elsewhere
a line is printed now and then.
"""

from __future__ import annotations

import io
import time
from base64 import b64encode
from itertools import accumulate
from typing import Any

from transformers import TrainerCallback


def tokens_by_step(lengths: list[int], batch_size: int) -> list[int]:
    """How many tokens have been seen after each step (entry 0: before the first)."""
    batches = [sum(lengths[k : k + batch_size]) for k in range(0, len(lengths), batch_size)]
    return [0, *accumulate(batches)]


class Live(TrainerCallback):
    """Shows step, loss, tokens per second and time left, every so many seconds.

    `tokens` is `tokens_by_step`: padding does not count as throughput.
    """

    def __init__(self, label: str, tokens: list[int], every: float = 10.0) -> None:
        self.label, self.tokens, self.every = label, tokens, every
        self.place = Place()

    def on_train_begin(self, args, state, control, **kwargs):
        self.started = self.shown = time.monotonic()
        self.first = state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        late = time.monotonic() - self.shown > self.every
        if state.is_world_process_zero and logs and "loss" in logs and late:
            self.shown, line = time.monotonic(), self.line(state, logs["loss"])
            self.place.show(line, picture(line, state.log_history) if in_notebook() else None)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.place.show(self.line(state, None))

    def line(self, state, loss: float | None) -> str:
        """The state of the training in a line; without a loss, at its end."""
        passed = time.monotonic() - self.started
        rate = (self.tokens[state.global_step] - self.tokens[self.first]) / max(passed, 1e-9)
        if loss is None:
            return f"{self.label}: {state.global_step} steps in {passed:.0f} s, {rate:,.0f} tokens/s"
        left = (self.tokens[-1] - self.tokens[state.global_step]) / max(rate, 1e-9)
        at = f"{self.label}: step {state.global_step}/{state.max_steps}, loss {loss:.3f}"
        return f"{at}, {rate:,.0f} tokens/s, {left:.0f} s left"


class Place:
    """One output of a notebook that is changed in place; outside a notebook, lines."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, line: str, png: bytes | None = None) -> None:
        if not in_notebook():
            print(line, flush=True)
            return
        from IPython.display import display

        data = {"text/plain": line} | ({"image/png": b64encode(png).decode()} if png else {})
        if self.handle:
            self.handle.update(data, raw=True)
        else:
            self.handle = display(data, raw=True, display_id=True)


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, which can change what it has shown."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def picture(title: str, history: list[dict]) -> bytes:
    """The loss so far as a PNG."""
    from matplotlib.figure import Figure

    rows = [(row["step"], row["loss"]) for row in history if "loss" in row]
    figure = Figure(figsize=(6, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*rows, strict=True))
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.set_title(title, fontsize=9, loc="left")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()
