"""How a training shows its progress: a line and a curve, updated in place in a notebook."""

from __future__ import annotations

import io
import time
from itertools import accumulate

from matplotlib.figure import Figure
from transformers import TrainerCallback

from helpers.processes import Place, in_notebook


def tokens_by_step(lengths: list[int], batch_size: int) -> list[int]:
    """How many tokens have been seen after each step (entry 0: before the first)."""
    batches = [sum(lengths[k : k + batch_size]) for k in range(0, len(lengths), batch_size)]
    return [0, *accumulate(batches)]


class Live(TrainerCallback):
    """Shows step, loss, tokens per second and time left every few seconds.

    `tokens` comes from `tokens_by_step`: padding does not count as throughput.
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
        """The state of the training as one line; without a loss, the summary at its end."""
        passed = time.monotonic() - self.started
        rate = (self.tokens[state.global_step] - self.tokens[self.first]) / max(passed, 1e-9)
        if loss is None:
            return f"{self.label}: {state.global_step} steps in {passed:.0f} s, {rate:,.0f} tokens/s"
        left = (self.tokens[-1] - self.tokens[state.global_step]) / max(rate, 1e-9)
        at = f"{self.label}: step {state.global_step}/{state.max_steps}, loss {loss:.3f}"
        return f"{at}, {rate:,.0f} tokens/s, {left:.0f} s left"


def picture(title: str, history: list[dict]) -> bytes:
    """The loss so far as a PNG."""
    rows = [(row["step"], row["loss"]) for row in history if "loss" in row]
    figure = Figure(figsize=(6, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*rows, strict=True))
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.set_title(title, fontsize=9, loc="left")
    return png(figure)


def png(figure: Figure) -> bytes:
    """A figure as a PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()
