"""The explorer's second view: the loss of each token under a model, original against perturbed.

    losses = token_losses(model, tokenizer, trace.problem, trace.response)
    HTML(render(perturbed, losses_of_the_original, losses_of_the_result, "shuffle-67", "correct.s0"))

Losses are cross-entropies in nats, as in training: the prompt in the chat template, then the response and the
end token, each token given everything before it. 0.69 means a probability of one half, 4.6 of one hundredth.
Not covered: the text before the first step (the opening tag), which no arm changes.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from markupsafe import Markup
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from helpers.conditions import split_run
from helpers.data.traces import Trace, spaced
from helpers.evaluation.context import positions
from helpers.explorer.markup import PARTS
from helpers.explorer.trace_view import (
    MARKS,
    aligned,
    key,
    original,
    original_words,
    page,
    places_of,
    result_words,
)
from helpers.perturbations.arms import Perturbed, perturb
from helpers.perturbations.steps import Step
from helpers.training import models
from helpers.training.examples import completion
from helpers.training.models import prompt_text

CHUNK = 512  # tokens per forward pass, to bound the memory of a large vocabulary's logits
LEVELS = (0.05, 0.25, 0.5, 1, 2, 4)  # nats at which the colour gets stronger
SMALL = 4 << 30  # bytes of weights that a notebook loads without being asked
WIDEST = 4.0  # nats at which a step's bar is full

Read = Callable[[str, str, str], "TokenLosses"]  # of a model's name, a problem and a response


@dataclass(frozen=True)
class TokenLosses:
    """A response cut into its tokens, each with its loss (nats; nan beyond the model's positions).

    `ends` are character offsets; a piece begins where the previous one ends. The end token is the last piece
    and has no text. Tokens that share a character form one piece, with their losses added.
    """

    response: str
    ends: tuple[int, ...]
    losses: tuple[float, ...]

    def within(self, start: int, stop: int) -> Iterator[tuple[str, float]]:
        """The pieces that begin at or after character `start` and before `stop`, each with its loss."""
        begins = (0, *self.ends[:-1])
        for begin, end, loss in zip(begins, self.ends, self.losses, strict=True):
            if start <= begin < stop:
                yield self.response[begin:end], loss


@torch.inference_mode()
def token_losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problem: str, response: str
) -> TokenLosses:
    """The loss of each token of a response, given the problem; ids as in `examples.encode`.

    Tokens beyond the model's positions get nan.
    """
    prompt = tokenizer(prompt_text(tokenizer, problem), add_special_tokens=False)["input_ids"]
    coded = completion(tokenizer, [response], return_offsets_mapping=True)
    ids = [*prompt, *coded["input_ids"][0]]
    limit = positions(model.config.to_dict()) or len(ids)
    given = torch.tensor([ids[:limit]], device=model.device)
    was_training = model.training
    model.eval()
    parts, cache = [], None
    for start in range(0, given.shape[1] - 1, CHUNK):
        inputs = given[:, start : min(start + CHUNK, given.shape[1] - 1)]
        out = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        targets = given[0, start + 1 : start + 1 + inputs.shape[1]]
        parts.append(torch.nn.functional.cross_entropy(out.logits[0].float(), targets, reduction="none"))
    model.train(was_training)
    seen = torch.cat(parts).abs().tolist()[len(prompt) - 1 :]
    losses = seen + [math.nan] * (len(ids) - len(prompt) - len(seen))
    return TokenLosses(response, *pieces(coded["offset_mapping"][0], losses, len(response)))


def pieces(
    offsets: Sequence[tuple[int, int]], losses: Sequence[float], length: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ends and losses of pieces, from the tokens' character offsets; the end token comes last."""
    ends: list[int] = []
    found: list[float] = []
    for (_, end), loss in zip(offsets, losses[:-1], strict=True):
        if ends and end <= ends[-1]:
            found[-1] += loss
        else:
            ends.append(end)
            found.append(loss)
    return (*ends, length), (*found, losses[-1])


def spans(perturbed: Perturbed) -> list[tuple[int, int]]:
    """The characters of the response that each step has; the last span is the solution with its tags."""
    if perturbed.trace.kind == "short":
        return [(0, len(perturbed.response) + 1)]
    at = len(perturbed.trace.frame[0])
    found = []
    for text in spaced(s.text for s in perturbed.steps) if perturbed.steps else ():
        found.append((at, at + len(text)))
        at += len(text)
    return [*found, (at, len(perturbed.response) + 1)]


def trained(adapters: str | Path) -> list[str]:
    """The models that can be used: "base" and the folders in `adapters` that hold one."""
    kinds = ("adapter_config.json", "config.json")
    folders = sorted(p for p in Path(adapters).glob("*.s*") if any((p / kind).exists() for kind in kinds))
    return ["base", *(folder.name for folder in folders)]


def at_hand(adapters: str | Path) -> str | None:
    """The base model of a folder's LoRA adapters if it is a small local folder, otherwise None."""
    for path in sorted(Path(adapters).glob("*.s*/adapter_config.json")):
        base = json.loads(path.read_text())["base_model_name_or_path"]
        weights = sum(file.stat().st_size for file in Path(base).glob("*.safetensors"))
        if 0 < weights < SMALL:
            return base
    return None


def reader(base_model: str | Path, adapters: str | Path) -> Read:
    """`token_losses` by a model's name ("base", "shuffle-67.s0"), remembering what it has measured.

    One model is loaded at a time. ValueError for a model that has not been trained.
    """

    @lru_cache(maxsize=1)
    def load(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        condition, seed = (name, 0) if name == "base" else split_run(name)
        return models.load_condition(base_model, Path(adapters), condition, seed)

    @lru_cache(maxsize=256)
    def read(name: str, problem: str, response: str) -> TokenLosses:
        return token_losses(*load(name), problem, response)

    return read


def view(trace: Trace, arm: str, seed: int, pool: Sequence[Trace], model: str, read: Read) -> str:
    """`render` of a trace and of what an arm makes of it, measured with a model (by name, see `reader`)."""
    perturbed = perturb(trace, arm, seed, pool)
    before, after = (read(model, trace.problem, p.response) for p in (original(trace), perturbed))
    return render(perturbed, before, after, arm, model)


def mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses) if losses else math.nan


def render(perturbed: Perturbed, before: TokenLosses, after: TokenLosses, arm: str, model: str) -> str:
    """HTML of both traces: each token coloured by its loss under a model, each step with its mean.

    `before` belongs to the original trace, `after` to the perturbed one.
    """
    trace, steps = perturbed.trace, perturbed.steps
    left = [list(before.within(*span)) for span in spans(original(trace))]
    right = [list(after.within(*span)) for span in spans(perturbed)]
    places = places_of(steps)
    rows: list[tuple[Markup | None, Markup | None]] = []
    for i, place in aligned(steps, len(trace.steps)):
        old = None if i is None else loss_cell(*original_words(i, places[i], steps), left[i])
        step = None if place is None else steps[place]
        rows.append((old, step and loss_cell(step.change, result_words(place, step), right[place])))
    ending = "kept" if perturbed.solution == trace.solution else "edited"
    rows.append(tuple(loss_cell(ending, "solution and end", side[-1]) for side in (left, right)))
    titles = (f"original, read by {model}", f"{arm}, read by {model}")
    return page(
        PARTS.problem(trace.problem, f"({trace.id})"),
        PARTS.levels([f"{bound:g}" for bound in (0, *LEVELS)]),
        PARTS.facts(summary(steps, left, right), title="Mean loss a token:"),
        key(perturbed),
        PARTS.table(titles, rows),
    )


def loss_cell(change: str, words: str, tokens: Sequence[tuple[str, float]]) -> Markup:
    """A step as a cell: its mean loss as number and bar, then its tokens, coloured by theirs.

    A token's loss is shown on hover; the last token adds no line break.
    """
    average = mean([loss for _, loss in tokens])
    width = 0 if math.isnan(average) else min(average / WIDEST, 1) * 8
    shown = [
        (
            0 if math.isnan(loss) else bisect_right(LEVELS, loss),
            nats(loss),
            text.replace("\n", "↵\n" if i < len(tokens) else "↵"),
        )
        for i, (text, loss) in enumerate(tokens, 1)
    ]
    return PARTS.losses(change, MARKS[change], words, f"{width:.2f}", nats(average), shown)


def nats(value: float) -> str:
    return "not seen" if math.isnan(value) else f"{value:.2f} nats"


def summary(
    steps: Sequence[Step],
    left: Sequence[Sequence[tuple[str, float]]],
    right: Sequence[Sequence[tuple[str, float]]],
) -> list[tuple[str, str]]:
    """The mean loss of the steps' tokens: original, result, and by what happened to the step."""
    groups = {
        "original": left[:-1],
        "result": right[:-1],
        **{
            f"of the {change}": [
                tokens for s, tokens in zip(steps, right, strict=False) if s.change == change
            ]
            for change in ("kept", "moved", "edited", "foreign")
        },
        "solution, original": left[-1:],
        "solution, result": right[-1:],
    }
    means = {name: mean([loss for tokens in group for _, loss in tokens]) for name, group in groups.items()}
    return [(name, f"{value:.2f}") for name, value in means.items() if not math.isnan(value)]
