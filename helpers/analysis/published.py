"""The responses that the authors published, read and graded again.

    rows = read("outputs/published")            # one row per response: model, benchmark, problem_id, ...
    graded = regrade(rows)                      # with our verdicts, and the causes of differences
    accuracies(graded), differences(graded)     # the cells, and every response with different verdicts

A folder holds MODEL/BENCHMARK.jsonl as written by the authors' harness (one greedy response per problem in
`code`, the extracted answer in `pred`, the verdict in `score`, the reference answer in `gt`) and
MODEL/BENCHMARK.metrics.json with the accuracy they report. `download` fetches them. The files contain neither
token counts nor whether a response was cut. Length is in characters, and a response counts as cut if it
neither closes its format nor ends like a sentence or a formula, which is an estimate.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import intervals
from helpers.analysis.tables import rounded
from helpers.answers.boxed import final_answer
from helpers.data.words import count_keywords
from helpers.evaluation.benchmarks import as_text
from helpers.evaluation.grading import STATUSES, grade
from helpers.files import atomic

COMMIT = "9a750c725525201a16bcb2df386495da61371577"  # of the branch `corrupt`
SOURCE = (
    "https://raw.githubusercontent.com/NovaSky-AI/SkyThought/{}/skythought/Qwen2.5-Math/evaluation/outputs"
)
BENCHMARKS = ("math500", "aime24", "amc23", "olympiadbench")
# Checkpoints of the run on correct traces, by training step, on AIME24 alone. The paper's cell, 40.0, is the
# accuracy that the authors report for PRINTED and for no other.
STEPS = (21, 35, 49, 63, 70, 84, 98, 105, 119, 133, 140)
PRINTED = "Qwen2.5-32B-correct@133"
ARMS, OTHERS = "icml_models/Sky-T1-math-", "home/ubuntu/skyov1-dl/Sky-T1-math-"
# By our name of a model: its folder in the authors' repository and the name of its prompt.
PUBLISHED = {
    **{f"Qwen2.5-32B-correct@{n}": (f"{ARMS}correct-5K-32B-ckpts/checkpoint-{n}", "Sky-T1") for n in STEPS},
    "Qwen2.5-32B-digits-20": (f"{ARMS}corrupt-0.2-32B", "Sky-T1"),
    "Qwen2.5-32B-digits-50": (f"{ARMS}corrupt-0.5-32B", "Sky-T1"),
    "Qwen2.5-32B-digits-70": (f"{ARMS}corrupt-0.7-32B", "Sky-T1"),
    "Qwen2.5-32B-keywords-20": (f"{ARMS}reflection-0.2-32B", "Sky-T1"),
    "Qwen2.5-32B-keywords-50": (f"{ARMS}reflection-0.5-32B", "Sky-T1"),
    "Qwen2.5-32B-keywords-100": (f"{ARMS}reflection-1.0-32B", "Sky-T1"),
    "Qwen2.5-32B-short": (f"{ARMS}correct-5K-32B-short-ckpts", "Sky-T1"),
    "Qwen2.5-14B-Instruct": ("Qwen/Qwen2.5-14B-Instruct", "qwen25-math-cot"),
    "Qwen2.5-14B-correct": (f"{OTHERS}correct-5K-14B", "Sky-T1"),
    "Qwen2.5-14B-wrong": (f"{OTHERS}wrong-5K-14B", "Sky-T1"),
    "gemma-2-27b-it": ("google/gemma-2-27b-it", "qwen25-math-cot"),
    "gemma-2-27b-correct": (f"{OTHERS}correct-5K-27B", "Sky-T1"),
    "gemma-2-27b-wrong": (f"{OTHERS}wrong-5K-27B", "Sky-T1"),
}
PAPER_NAMES = dict(zip(BENCHMARKS, ("MATH500", "AIME24", "AMC23", "OlympiadBench"), strict=True))
JUDGED = Path(__file__).with_name("published_judged.csv")
CAUSES = {
    "no box": "no answer in a box: theirs took the last number of the text",
    "cleaned": "they cleaned the answer or the gold until it was another",
    "compared": "the same two answers, compared otherwise",
}


def download(folder: str | Path, models: list[str], source: str = SOURCE.format(COMMIT)) -> list[str]:
    """Fetch what is published of these models and not in the folder yet; returns what is not published.

    ValueError for an unknown model; OSError if the network fails.
    """
    if unknown := [m for m in models if m not in PUBLISHED]:
        raise ValueError(f"no generations of {unknown[0]!r} were published, only of {', '.join(PUBLISHED)}")
    absent = []
    for model in models:
        where, prompt = PUBLISHED[model]
        for benchmark in ("aime24",) if "@" in model else BENCHMARKS:
            stem = f"{source}/{where}/{benchmark}_eval/{benchmark}/test_{prompt}_-1_seed0_t0.0_s0_e-1"
            for end, url in ((".metrics.json", f"{stem}_{prompt}_metrics.json"), (".jsonl", f"{stem}.jsonl")):
                path = Path(folder, model, benchmark + end)
                if path.exists() or f"{model}/{benchmark}" in absent:
                    continue
                try:
                    with urllib.request.urlopen(url, timeout=60) as answer:
                        data = answer.read()
                except urllib.error.HTTPError as error:
                    if error.code != 404:
                        raise
                    absent.append(f"{model}/{benchmark}")
                    continue
                except urllib.error.URLError as error:
                    raise OSError(
                        f"{url} cannot be reached ({error.reason}): "
                        f"set download = False to read what is in {folder}"
                    ) from None
                with atomic(path) as partial:
                    partial.write_bytes(data)
    return absent


def read(folder: str | Path) -> pd.DataFrame:
    """One row per response in a folder's files; ValueError names a file and line of another format.

    Columns: model, benchmark, problem_id, gold, their_gold, response, their_answer, theirs, reported.
    """
    paths = sorted(Path(folder).glob("*/*.jsonl"))
    if not paths:
        raise ValueError(f"{folder} holds no MODEL/BENCHMARK.jsonl: let the notebook download them")
    rows = []
    for path in paths:
        metrics = path.with_suffix(".metrics.json")
        reported = json.loads(metrics.read_text()).get("acc") if metrics.exists() else None
        common = {"model": path.parent.name, "benchmark": path.stem, "reported": reported}
        with path.open(encoding="utf-8") as file:
            for i, line in enumerate(file, 1):
                try:
                    rows.append(common | row_of(json.loads(line)))
                except (ValueError, KeyError, IndexError, TypeError) as error:
                    raise ValueError(f"{path}, line {i}: not a generation of theirs ({error!r})") from error
    return pd.DataFrame(rows)


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """What we need of a line. The reference answer is the benchmark's own if present: theirs is cleaned."""
    theirs = as_text(row["gt"])
    own = as_text(row["answer"]) if row.get("answer") not in (None, "") else theirs
    return {
        "problem_id": row["idx"],
        "gold": own,
        "their_gold": theirs,
        "response": row["code"][0] or "",
        "their_answer": as_text(row["pred"][0]),
        "theirs": bool(row["score"][0]),
    }


def regrade(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with our verdicts; `status` is one of grading.STATUSES.

    `status` and `strict` need a box. `lenient`: without one, their answer (the last number) is graded, as in
    their harness. `compared`: their answer and their reference answer, compared by our grader.
    """
    boxed = [final_answer(text) for text in rows.response]
    pairs = [(rows.gold, boxed), (rows.their_gold, rows.their_answer), (rows.gold, rows.their_answer)]
    verdicts = grade([pair for golds, answers in pairs for pair in zip(golds, answers, strict=True)])
    n = len(rows)
    strict, compared, loose = verdicts[:n], verdicts[n : 2 * n], verdicts[2 * n :]
    cut = ~rows.response.map(ended)
    status = ["truncated" if a is None and c else s for a, c, s in zip(boxed, cut, strict, strict=True)]
    found = rows.assign(
        answer=pd.Series(boxed, index=rows.index, dtype=object),  # None stays None
        cut=cut,
        status=pd.Categorical(status, STATUSES),
        strict=[s == "ok" for s in strict],
        lenient=[(b if a is None else s) == "ok" for a, s, b in zip(boxed, strict, loose, strict=True)],
        compared=[s == "ok" for s in compared],
        characters=rows.response.map(len),
        keywords=rows.response.map(count_keywords),
    )
    return found.assign(cause=[cause(row) for row in found.itertuples()])


def ended(response: str) -> bool:
    """Whether a response seems to have ended by itself."""
    text = response.rstrip()
    return text.endswith((".", "!", "?", "$", "\\]", "\\)", "|>", "**", "```"))


def cause(row: Any) -> str:
    """Why their verdict and our strict one differ (CAUSES); "" if they agree."""
    if row.strict == row.theirs:
        return ""
    if row.answer is None:
        return "no box"
    return "cleaned" if row.compared == row.theirs else "compared"


def accuracies(graded: pd.DataFrame, paper: dict[str, Any]) -> pd.DataFrame:
    """One row per file, in percent: the paper's cell, what they report, ours with interval, cut, lengths.

    `lenient` reads answers as their harness does and should equal what they report; `strict` needs a box.
    `paper` is paper_tables.json.
    """
    made = []
    for (model, benchmark), part in graded.groupby(["model", "benchmark"], sort=False):
        n = len(part)
        low, high = intervals.wilson(part.strict.sum(), n)
        named = {"model": model, "benchmark": benchmark, "problems": n}
        theirs = {"paper": paper_cell(paper, model, benchmark), "reported": part.reported.iloc[0]}
        shares = {"lenient": part.lenient.mean(), "strict": part.strict.mean(), "low": low, "high": high}
        shares |= {"cut": part.cut.mean(), "no box": part.answer.isna().mean()}
        means = {"characters": part.characters.mean(), "keywords": part.keywords.mean()}
        made.append(named | theirs | {key: 100 * share for key, share in shares.items()} | means)
    return rounded(pd.DataFrame(made))


def paper_cell(paper: dict[str, Any], model: str, benchmark: str) -> float | None:
    """The cell of Table 2 (or, for `short`, Table 4) that a model's file belongs to."""
    condition = model.removeprefix("Qwen2.5-32B-").partition("@")[0]
    name = PAPER_NAMES.get(benchmark)
    if not model.startswith("Qwen2.5-32B-") or name is None:
        return None
    table = paper["table2_perturbations"]
    if isinstance(table.get(condition), list):
        return table[condition][table["columns"].index(name)]
    table = paper["table4_short_vs_long"]
    cells = table["accuracy"].get(condition)
    return cells[table["columns"].index(name)] if cells else None


def differences(graded: pd.DataFrame) -> pd.DataFrame:
    """Every response with different verdicts although it was read alike, and which is right, if judged.

    Read alike: both by the box or, without one, both by the answer that their harness extracted.
    """
    rows = graded[graded.lenient != graded.theirs]
    columns = ["model", "benchmark", "problem_id", "gold", "answer", "their_gold", "their_answer"]
    judged = pd.read_csv(JUDGED)
    keys = ["model", "benchmark", "problem_id"]
    found = rows[[*columns, "theirs", "lenient", "cause"]].rename(columns={"lenient": "ours"})
    return found.merge(judged, on=keys, how="left").fillna({"right": "not judged", "why": ""})


def unboxed(graded: pd.DataFrame) -> pd.DataFrame:
    """One row per file: responses without a box, and how many of those they count as right."""
    rows = graded[graded.answer.isna()]
    found = {"without_box": ("theirs", "size"), "counted_right": ("theirs", "sum"), "cut": ("cut", "sum")}
    return rows.groupby(["model", "benchmark"], sort=False).agg(**found).reset_index()


def is_checkpoint(models: pd.Series) -> pd.Series:
    """Which models are checkpoints that the paper does not print."""
    return models.str.contains("@") & (models != PRINTED)


def checkpoints(graded: pd.DataFrame, resamples: int = 2000) -> tuple[pd.DataFrame, dict[str, float]]:
    """The checkpoints of the run on correct traces, one row each, and what choosing the best one adds.

    Rows, in percent: our accuracy with Wilson's interval, theirs, and the difference to PRINTED on the same
    problems with interval and p (see `contrasts`). Choice: the mean over checkpoints, and the best one's
    accuracy on the problems that it was chosen by (`chosen`) and on the others (`others`), as means over
    samples.
    """
    rows = graded[graded.model.str.contains("@") & (graded.benchmark == "aime24")]
    table = accuracies(rows, {"table2_perturbations": {}, "table4_short_vs_long": {"accuracy": {}}})
    table = table.sort_values("model", key=lambda names: names.str.partition("@")[2].astype(int))
    table = table[["model", "problems", "reported", "lenient", "strict", "low", "high"]]
    pairs = contrasts(rows)
    turned = pairs.rename(columns={"first": "second", "second": "first", "low": "high", "high": "low"})
    both = pd.concat([pairs, turned.assign(**{c: -turned[c] for c in ("difference", "low", "high")})])
    mine = both[both["second"] == PRINTED][["first", "difference", "low", "high", "p"]]
    mine = mine.set_axis(["model", "difference", "from", "to", "p"], axis=1)
    answers = rows.pivot(index="model", columns="problem_id", values="strict").to_numpy(dtype=float)
    inside, outside = intervals.best_of(answers, resamples, intervals.generator("checkpoints"))
    choice = {"mean": answers.mean(), "chosen": inside.mean(), "others": outside.mean()}
    return table.merge(mine, on="model", how="left"), {k: round(100 * v, 1) for k, v in choice.items()}


def contrasts(graded: pd.DataFrame) -> pd.DataFrame:
    """Pairs of models on the problems that both answered: difference in points, interval, discordant pairs.

    `p` is McNemar's exact test: how often a fair coin splits the discordant problems at least as unevenly.
    """
    made = []
    for benchmark, part in graded.groupby("benchmark", sort=False):
        table = part.pivot(index="problem_id", columns="model", values="strict").dropna(axis=1)
        names = list(dict.fromkeys(m for m in part.model if m in table.columns))
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                x, y = (table[name].to_numpy(dtype=float) for name in (a, b))
                d = intervals.paired_difference(x, y)
                only = int(np.sum(x > y)), int(np.sum(x < y))
                p = float(intervals.mcnemar(*only))
                row = {"benchmark": benchmark, "first": a, "second": b, "problems": len(x)}
                row |= dict(zip(("difference", "low", "high"), (d.estimate, *d.interval()), strict=True))
                made.append(row | {"only first": only[0], "only second": only[1], "p": p})
    columns = ["benchmark", "first", "second", "problems", "difference", "low", "high"]
    return pd.DataFrame(made, columns=[*columns, "only first", "only second", "p"])
