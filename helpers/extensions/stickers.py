r"""SIFT (arXiv 2502.14922): a problem's facts, its Sticker, are corrected until two predictions agree.

    asked = journal.requests("base", 0, "gsm8k", problems, max_new_tokens=512, model="sha256...")
    found = sift(asked, partial(journal.complete, engine=engine, folder="outputs/stickers/SmolLM2"))
    found[0].stage, found[0].steps[1].text     # 2, "**Conditions:**\n1. There are 3 boxes. ..."

One prediction sees the Sticker alone, the other the problem, too. Where they differ, the Sticker is checked
against the problem (forward); where they still do, it is written again from the second prediction (inverse)
and checked: 1 request for the direct answer, then 3, 3 and 4, in seven rounds at most. Keys hold the prompts,
so a killed run goes on, and a prompt that comes up twice is asked once. Source: Algorithms 1 and 2 there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import yaml

from helpers.answers.boxed import final_answer
from helpers.answers.workers import grade
from helpers.data.traces import END_THINK, THINK
from helpers.evaluation import grading
from helpers.evaluation.benchmarks import prompt
from helpers.evaluation.journal import Request, Response, continued
from helpers.puzzles.expressions import numbers_and_target

PROMPTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
# A list of facts: up to the line of its question, or as far as it got. What follows may be a solution.
LIST = re.compile(r"\*{0,2}conditions:(?:.*?question:\**\s*[^\n]+|.*)", re.DOTALL | re.IGNORECASE)
OPENING = re.compile(r"Let me make (\d+) from (\d+), (\d+) and (\d+)\.")  # of a Countdown trace


@dataclass(frozen=True)
class Step:
    """A request: for facts (sticker, forward, inverse) or an answer (direct, at stage 0; alone, both)."""

    stage: int
    operation: str
    prompt: str
    response: Response

    @property
    def text(self) -> str:
        """The response without its thought; of one that lists facts, the list alone."""
        said = self.response.text.rpartition(END_THINK)[2].partition(THINK)[0]  # the last thought may be cut
        listed = LIST.search(said) if self.operation in PROMPTS else None
        return (listed[0] if listed else said).strip()


@dataclass(frozen=True)
class Sifted:
    """A problem's requests so far, and the stage at which its predictions agreed (0: they have not)."""

    stage: int = 0
    steps: tuple[Step, ...] = ()

    def latest(self, operation: str, until: int = 3) -> Step:
        """The last request of a kind up to a stage."""
        return [s for s in self.steps if s.operation == operation and s.stage <= until][-1]


def sift(asked: Sequence[Request], ask: Callable[[list[Request]], list[Response]]) -> list[Sifted]:
    """Take problems, each given by the request for its direct answer, through the stages.

    `ask` answers requests in order. ValueError for puzzles and programs: two right ones may differ.
    """
    if other := next((r.benchmark for r in asked if grading.kind_of(r.benchmark) != "math"), None):
        raise ValueError(f"{other}: answers are compared as mathematics: choose a benchmark such as gsm8k")
    found = [Sifted() for _ in asked]
    while todo := [(i, *step) for i, request in enumerate(asked) for step in wanted(request, found[i])]:
        batch = [continued(asked[i], prompt=p) for i, *_, p in todo]
        for (i, *what), response in zip(todo, ask(batch), strict=True):
            found[i] = replace(found[i], steps=(*found[i].steps, Step(*what, response)))
        for i in agreeing({i: found[i] for i, _, operation, _ in todo if operation == "both"}):
            found[i] = replace(found[i], stage=found[i].steps[-1].stage)
    return found


def wanted(request: Request, found: Sifted) -> list[tuple[int, str, str]]:
    """What to ask next for a problem: stage, operation and prompt; nothing at its end."""
    if not found.steps:
        return [(0, "direct", request.prompt), (1, "sticker", filled("sticker", problem=request.problem))]
    last = found.steps[-1]
    if last.operation in ("sticker", "forward"):
        seen = {"alone": last.text, "both": f"{request.problem}\n\n{last.text}"}
        return [(last.stage, name, prompt(request.benchmark, text)) for name, text in seen.items()]
    if found.stage or (last.operation, last.stage) == ("both", 3):
        return []
    if (last.operation, last.stage) == ("both", 2):
        return [(3, "inverse", filled("inverse", prediction=last.text))]
    draft = last.text if last.operation == "inverse" else found.latest("sticker").text
    return [(max(2, last.stage), "forward", filled("forward", problem=request.problem, sticker=draft))]


def filled(name: str, **texts: str) -> str:
    """A prompt with texts in their places; all other braces stay, those of the texts, too."""
    places = {"form": PROMPTS["form"]} | texts
    return re.sub(r"\{(\w+)\}", lambda found: places.get(found[1], found[0]), PROMPTS[name])


def agreeing(found: dict[int, Sifted]) -> list[int]:
    """The problems whose last two predictions have the same answer, either being the grader's reference."""
    pairs = {i: [final_answer(step.response.text) for step in f.steps[-2:]] for i, f in found.items()}
    there = {i: (a, b) for i, (a, b) in pairs.items() if a and b}
    verdicts = grade([*there.values(), *((b, a) for a, b in there.values())])
    return [i for k, i in enumerate(there) if "ok" in (verdicts[k], verdicts[k + len(there)])]


def scored(asked: Sequence[Request], found: Sequence[Sifted]) -> pa.Table:
    """One row per problem and stage (`after`, 0: direct): status of what counts then, and the cost so far.

    `ended` is the stage of the agreement; 0: none, so the direct answer counts. `calls` are prompts.
    """
    rows = []
    for request, sifted in zip(asked, found, strict=True):
        for after in range(4):
            ended = sifted.stage if sifted.stage <= after else 0
            final = vars(sifted.latest("both" if ended else "direct", ended).response)
            spent = {s.prompt: s.response.tokens for s in sifted.steps if s.stage <= after}
            cost = {"after": after, "ended": ended, "calls": len(spent), "tokens": sum(spent.values())}
            rows.append(vars(request) | {"response": final["text"], "finished": final["finished"]} | cost)
    names = ["benchmark", "problem_id", "after", "ended", "calls", "tokens"]
    return pa.Table.from_pylist(rows).select(names).append_column("status", [grading.statuses(rows)])


def quoted(problem: str, response: str) -> str:
    """How a response to a Countdown puzzle restates it: "right", "misquoted" or "absent"."""
    if (opening := OPENING.search(response)) is None:
        return "absent"
    target, *numbers = map(int, opening.groups())
    return "right" if numbers_and_target(problem) == (tuple(numbers), target) else "misquoted"
