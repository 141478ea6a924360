"""Simulated studies: how often intervals hold the truth, and how often tests are wrong.

    python tests/benchmarks/interval_coverage.py    # 10,000 studies a number: minutes on one core
    python tests/benchmarks/interval_coverage.py --studies 2000

A response is right with probability Phi(level + problem + arm on problem + training run), each of the last
three normal. The truth is exact: over all problems and training runs, or, with one seed, over all problems
for the run at hand. Of 10,000 studies a share of 95% comes out with a standard error of 0.2 points.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import gamma

from helpers.analysis import intervals

EASE, ARM, RUN = 0.8, 0.5, 0.1  # standard deviations on the probit scale; RUN is 2 to 4 points
PAIRS = {"alike": (0.75, 0.75), "apart": (0.75, 0.55), "far": (0.9, 0.3)}  # true accuracies of two arms
SIZES = (30, 500, 1200)
SEEDS = (1, 3, 16)


def simulate(
    levels: Sequence[float], seeds: int, problems: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Answers, arms x seeds x problems, and the arms' true accuracies, for such accuracies."""
    spread = EASE**2 + ARM**2
    level = ndtri(np.array(levels)) * np.sqrt(1 + spread + RUN**2)
    run = rng.normal(0, RUN, (len(levels), seeds))
    ease = rng.normal(0, EASE, problems) + rng.normal(0, ARM, (len(levels), problems))
    chance = ndtr(level[:, None, None] + run[:, :, None] + ease[:, None])
    answers = (rng.random(chance.shape, np.float32) < chance).astype(np.float32)
    truth = ndtr((level + run[:, 0]) / np.sqrt(1 + spread)) if seeds == 1 else np.array(levels)
    return answers, truth


def studies(
    levels: Sequence[float], seeds: int, problems: int, number: int
) -> tuple[list[list[intervals.Difference]], np.ndarray]:
    """Simulated studies: of each the differences of all arms to the first, and the true ones (points)."""
    rng = intervals.generator("studies", tuple(levels), seeds, problems)
    found, truths = [], []
    for _ in range(number):
        answers, truth = simulate(levels, seeds, problems, rng)
        found.append([intervals.difference(arm - answers[0]) for arm in answers[1:]])
        truths.append(100 * (truth[1:] - truth[0]))
    return found, np.array(truths)


def coverage(levels: Sequence[float], seeds: int, problems: int, number: int) -> dict[str, float]:
    """Of the intervals of a difference and of an accuracy, the share that holds the truth."""
    found, truths = studies(levels, seeds, problems, number)
    result = {}
    for level in (0.95, 0.9):
        bounds = np.array([d[0].interval(level) for d in found])
        result[f"{level:.0%}"] = float(
            np.mean((bounds[:, 0] <= truths[:, 0]) & (truths[:, 0] <= bounds[:, 1]))
        )
    return result


def accuracy_coverage(level: float, seeds: int, problems: int, number: int) -> float:
    """Of the 95% intervals of an accuracy, the share that holds the truth."""
    rng = intervals.generator("accuracies", level, seeds, problems)
    hits = 0
    for _ in range(number):
        answers, truth = simulate([level], seeds, problems, rng)
        low, high = intervals.accuracy_interval(answers[0])
        hits += low <= 100 * truth[0] <= high
    return hits / number


def false_positives(seeds: int, problems: int, number: int, arms: int = 20) -> float:
    """Studies in which Holm's test finds one of so many arms to differ, though all are alike."""
    found, truths = studies([0.75] * (arms + 1), seeds, problems, number)
    hits = 0
    for row, truth in zip(found, truths, strict=True):
        hits += intervals.holm([d.p_value(t) for d, t in zip(row, truth, strict=True)]).min() <= 0.05
    return hits / number


def false_equivalences(seeds: int, problems: int, number: int) -> float:
    """Studies that find an arm equivalent whose true difference is the margin itself."""
    found, truths = studies([0.75, 0.7], seeds, problems, number)
    pairs = zip(found, np.abs(truths[:, 0]), strict=True)
    return float(np.mean([d[0].equivalence_p(margin) <= 0.05 for d, margin in pairs]))


def power(seeds: int, problems: int, number: int) -> float:
    """Studies that reject a value as far off as is detectable, by the mean variance of them all."""
    found, truths = studies([0.6, 0.5], seeds, problems, number)
    variance = float(np.mean([d[0].variance for d in found]))
    share = float(np.mean([d[0].variance * d[0].share for d in found])) / variance
    size = intervals.Difference(0, 0, variance, share, seeds, problems).minimum_detectable()
    pairs = zip(found, truths[:, 0], strict=True)
    return float(np.mean([d[0].p_value(truth + size) <= 0.05 for d, truth in pairs]))


def normal_theory(seeds: int, level: float = 0.95) -> tuple[float, float]:
    """Least and greatest coverage for normal data and many problems, over all shares of the seeds."""
    drawn = gamma.ppf((np.arange(2000) + 0.5) / 2000, (seeds - 1) / 2) / ((seeds - 1) / 2)
    covered = []
    for share in np.linspace(0, 1, 41):
        variance = share * drawn + 1 - share
        quantiles = [intervals.quantile(1 - level, s, seeds) for s in share * drawn / variance]
        covered.append(np.mean(2 * ndtr(np.sqrt(variance) * quantiles) - 1))
    return float(min(covered)), float(max(covered))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    number = parser.parse_args().studies
    for level in (0.95, 0.9):
        least, greatest = normal_theory(3, level)
        print(f"normal data, 3 seeds: {level:.0%} intervals cover {least:.2%} to {greatest:.2%}", flush=True)
    for seeds in SEEDS:
        for problems in SIZES:
            row = [f"{seeds} seeds, {problems} problems:"]
            for name, pair in PAIRS.items():
                covered = coverage(pair, seeds, problems, number)
                row.append(f"{name} " + ", ".join(f"{k} {v:.1%}" for k, v in covered.items()) + ";")
            row.append(f"an accuracy of 75% {accuracy_coverage(0.75, seeds, problems, number):.1%}")
            print(*row, flush=True)
    for seeds in SEEDS:
        row = [f"{seeds} seeds, 500 problems: Holm over 20 arms {false_positives(seeds, 500, number):.1%},"]
        row.append(f"equivalence {false_equivalences(seeds, 500, number):.1%} false;")
        print(*row, f"power at the detectable difference {power(seeds, 500, number):.1%}", flush=True)
