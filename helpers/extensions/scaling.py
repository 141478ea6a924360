"""Inference scaling: what more tokens per problem buy, as several responses or as a longer one.

    pooled(scores, 8, any_right)        # pass@8: a verifier picks among eight responses
    pooled(scores, 8, majority)         # the vote of eight
    cut(scores, 128)                    # every response ends after 128 tokens

Scores in, scores out, so that tables and intervals are those of any run. `answer` is a column of the final
answers, as texts ("": none), for the vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd
from transformers import PreTrainedTokenizerBase

from helpers.answers.boxed import final_answer
from helpers.data.traces import END_THINK
from helpers.evaluation.journal import Request, Response, continued

FORCED = f"\n{END_THINK}\n\nThe answer is \\boxed{{"  # ends a thought that was cut, and begins the answer
FORCED_TOKENS = 32  # for the rest of the answer


def answer_of(response: str) -> str:
    """The final answer as it votes: without white space, "" where there is none."""
    return "".join((final_answer(response) or "").split())


def any_right(rows: pd.DataFrame) -> bool:
    """Whether one of several responses is right, as a verifier would find."""
    return bool(rows.correct.any())


def majority(rows: pd.DataFrame) -> bool:
    """Whether the most frequent answer is right; of several the first, and no answer is no vote."""
    votes = Counter(answer for answer in rows.answer if answer)
    return bool(votes) and bool(rows[rows.answer == votes.most_common(1)[0][0]].correct.iloc[0])


def pooled(scores: pd.DataFrame, size: int, pick: Callable[[pd.DataFrame], bool]) -> pd.DataFrame:
    """Scores in which `size` samples of a problem are one response, right if `pick` says so.

    Its tokens are those of all of them. Samples that fill no pool are left out; ValueError if none do.
    """
    keys = ["condition", "seed", "benchmark", "problem_id"]
    samples = scores.groupby(keys)["sample"].transform("count").min()
    if size > samples:
        raise ValueError(f"a pool of {size} needs as many samples of each problem, and there are {samples}")
    kept = scores[scores["sample"] < samples // size * size]
    pools = kept.assign(sample=kept["sample"] // size).groupby([*keys, "sample"], sort=False)
    made = pools[["finished", "keywords"]].mean()
    right = pools.apply(pick, include_groups=False)
    return made.assign(correct=right, tokens=pools["tokens"].sum()).reset_index()


def cut(scores: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Scores as if every response had been cut after `budget` tokens: a greedy one begins the same."""
    within = scores.tokens <= budget
    return scores.assign(
        correct=scores.correct & within,
        finished=scores.finished & within,
        tokens=scores.tokens.clip(upper=budget),
    )


def forced(
    asked: Sequence[Request],
    responses: Sequence[Response],
    tokenizer: PreTrainedTokenizerBase,
    budget: int,
) -> list[Request]:
    """Requests that end each response of more than `budget` tokens there and ask for its answer."""
    made = []
    for request, response in zip(asked, responses, strict=True):
        if response.tokens > budget:
            ids = tokenizer(response.text, add_special_tokens=False)["input_ids"][:budget]
            opening = tokenizer.decode(ids, skip_special_tokens=False) + FORCED
            made.append(continued(request, opening=opening, max_new_tokens=FORCED_TOKENS))
    return made
