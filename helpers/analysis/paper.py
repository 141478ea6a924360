"""The paper's published tables (paper_tables.json), in the format of a run's.

cells = paper_cells("helpers/analysis/paper_tables.json")
cells.accuracy["shuffle-67"], cells.standard_error["shuffle-67"]       # points: 57.2, 2.76
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd


def paper_cells(path: str | Path) -> pd.DataFrame:
    """The paper's accuracies in points, means of MATH500, AIME24, AMC23 and OlympiadBench, by condition.

    From Table 2, `short` in Table 4, and the models in Table 1 (without a difference to `correct`). The
    standard error is binomial, for one greedy run per benchmark.
    """
    tables = json.loads(Path(path).read_text())
    names, sizes = tables["table2_perturbations"]["columns"], tables["benchmark_sizes"]
    found, distilled = {}, tables["table1_distillation"]
    for table in (tables["table2_perturbations"], distilled):
        columns = [table["columns"].index(name) for name in names]
        rows = {k: v for k, v in table.items() if isinstance(v, list) and k != "columns"}
        found |= {condition: [row[i] for i in columns] for condition, row in rows.items()}
    short = tables["table4_short_vs_long"]
    found["short"] = [short["accuracy"]["short"][short["columns"].index(name)] for name in names]
    cells = pd.DataFrame(found, index=names).T
    n = np.array([sizes[name] for name in names])
    errors = np.sqrt((cells * (100 - cells) / n).sum(axis=1)) / len(n)
    means = cells.mean(axis=1)
    against = (means - means["correct"]).where([condition not in distilled for condition in cells.index])
    return pd.DataFrame({"accuracy": means, "standard_error": errors, "difference": against})


def paper_lengths(path: str | Path) -> pd.DataFrame:
    """Tokens and keywords per response as multiples of `correct`'s; one row per condition.

    Means over the four benchmarks, from Tables 5 to 7 and, for `base` and `short`, from Table 4, whose long
    traces serve as `correct`.
    """
    tables = json.loads(Path(path).read_text())
    by_arm, by_kind = tables["tables5to7_length_and_keywords"], tables["table4_short_vs_long"]
    ratios = {}
    for name, key in (("tokens", "tokens"), ("keywords", "keywords_per_response")):
        arms = pd.DataFrame(by_arm[name], index=by_arm["columns"]).mean(axis=1)
        kinds = pd.DataFrame(by_kind[key]).mean()
        ratios[name] = pd.concat([kinds[["base", "short"]] / kinds["long"], arms / arms["correct"]])
    return pd.DataFrame(ratios)
