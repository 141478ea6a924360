"""What a laptop base model can do after its pretraining, line by line, and the card that says so.

exam(countdown_skills, answer, seed=1)       # {"dictation": 0.99, ...}: share of exact lines
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from types import ModuleType

from helpers.base_model.pretraining import documents


def canonical(line: str, leads: tuple[str, ...]) -> str:
    """A line without its free part, the reflection that it opens with."""
    return line.removeprefix(next((f"{lead} " for lead in leads if line.startswith(f"{lead} ")), ""))


def exam(
    skills: ModuleType, answer: Callable[[list[str]], list[str]], seed: int, n: int = 300
) -> dict[str, float]:
    """Share of exactly right lines per skill, on n fresh documents each.

    `answer` returns the model's greedy responses to prompts. A document counts up to its first wrong line,
    because later lines build on the error. For `direct` it is the share of puzzles solved, of those in the
    validation split.
    """
    papers: dict[str, list[tuple[str, str]]] = {skill: [] for skill in skills.MIXTURES["first"]}
    for made in documents(skills, seed):
        for skill, prompt, response in made:
            papers[skill].append((prompt, response))
        if min(map(len, papers.values())) >= n:
            break
    papers["direct"] = [(problem, "") for problem in skills.unseen(n, seed)]
    marks = {}
    for skill, paper in papers.items():
        responses = answer([p for p, _ in paper[:n]])
        right: list[bool] = []
        for (prompt, expected), got in zip(paper[:n], responses, strict=True):
            solved = skill == "direct" and skills.is_correct(got, prompt)
            right += [solved] if skill == "direct" else marked_lines(expected, got, skills.LEADS)
        marks[skill] = sum(right) / len(right)
    return marks


def marked_lines(expected: str, got: str, leads: tuple[str, ...]) -> list[bool]:
    """For each line of the expected response, up to the first that differs, whether the response has it."""
    wanted, given = (
        [canonical(line, leads) for line in text.splitlines() if line] for text in (expected, got)
    )
    marks = [i < len(given) and given[i] == line for i, line in enumerate(wanted)]
    return marks[: marks.index(False) + 1] if False in marks else marks


def model_card(record: dict, about: str) -> str:
    """The model's README: what it is and does, how it was trained, what it scores (its training record)."""
    words = (
        f"A Qwen2 model of {record['parameters']:,} parameters, trained from nothing on synthetic text by "
        f"`notebooks/A1_base_model.ipynb`. It stands in for an instruct model: {about}. "
        "It has never seen a search."
    )
    marks = "\n".join(f"| {skill} | {mark:.2%} |" for skill, mark in record["exam"].items())
    phases = "\n".join(
        f"| {p['phase']} | {p['steps']} | {p['learning_rate']} | {p['log'][-1]['tokens']:,} "
        f"| {p['log'][-1]['loss']:.4f} |"
        for p in record["phases"]
    )
    return f"""---
license: apache-2.0
library_name: transformers
tags: [qwen2, chain-of-thought]
---
# Laptop base model

{textwrap.fill(words, 110)}

{len(record["phases"])} phases, seed {record["seed"]}, the whole log in `training_log.json`:

| phase | steps | learning rate | tokens | last loss |
|---|---|---|---|---|
{phases}

| skill | share of lines exactly right (direct: puzzles solved) |
|---|---|
{marks}

Each digit is a token. Load the tokenizer with `PreTrainedTokenizerFast.from_pretrained`: for a Qwen2 model
`AutoTokenizer` puts Qwen's own splitting rules in place of those in `tokenizer.json`, and the model has
never seen text split that way. It knows nothing but this task and is of no use beyond the study.
"""
