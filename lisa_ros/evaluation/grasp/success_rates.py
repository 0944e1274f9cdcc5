"""Shares of success with their intervals, and the causes of failure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from lisa_ros.evaluation.grasp.attempts import SUCCESS
from lisa_ros.evaluation.grasp.proposals import RECIPES
from lisa_ros.evaluation.grasp.trials import CASES, NOT_TRIED, TRUE_BOX, Trial

_NORMAL_95 = 1.959964


def wilson_interval(successes: int, n: int) -> tuple[float, float] | None:
    """Wilson's 95% interval of a share; None of nothing."""
    if n == 0:
        return None
    share, z2 = successes / n, _NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def summarise(trials: Sequence[Trial]) -> dict:
    """Scores of each case and recipe; shares of nothing are None.

    For each of CASES, by recipe, and for TRUE_BOX: success (share), n, interval (Wilson, 95%), failures (count by
    cause), by_category (name: [successes, n]). objects: all that were asked for; excluded: those of them that no case
    counts, by reason.
    """
    tried = [trial for trial in trials if not trial.excluded]
    summary = {case: {recipe: _score(tried, case, recipe) for recipe in RECIPES} for case in CASES}
    return summary | {
        TRUE_BOX: _score(tried, TRUE_BOX, ""),
        "scenes": len({trial.scene for trial in trials}),
        "objects": len(trials),
        "excluded": {reason: sum(trial.excluded == reason for trial in trials) for reason in NOT_TRIED},
    }


def _score(trials: Sequence[Trial], case: str, recipe: str) -> dict:
    outcomes = [(trial.category, trial.outcomes[case, recipe]) for trial in trials]
    count = Counter(outcome for _, outcome in outcomes)
    n = len(outcomes)
    failures = Counter({cause: number for cause, number in count.items() if cause != SUCCESS})
    categories = Counter(category for category, _ in outcomes)
    good = Counter(category for category, outcome in outcomes if outcome == SUCCESS)
    interval = wilson_interval(count[SUCCESS], n)
    return {
        "success": count[SUCCESS] / n if n else None,
        "n": n,
        "interval": list(interval) if interval else None,
        "failures": dict(failures.most_common()),
        "by_category": {name: [good[name], categories[name]] for name in sorted(categories)},
    }


def table(summary: dict) -> str:
    """The scores for people to read."""
    excluded = ", ".join(f"{count} {reason}" for reason, count in summary["excluded"].items())
    lines = [
        f"{summary['model']}, noise {summary['noise']}: {summary['objects']} objects asked for in {summary['scenes']} "
        f"scenes, of which {excluded}",
        "",
        f"{'masks, depth':<20}{'box':<8}{'n':>5}{'success':>9}  {'95% interval':<16}failures",
    ]
    for case in CASES:
        words = ", ".join(case.split("_"))
        lines += [_row(words if recipe == RECIPES[0] else "", recipe, summary[case][recipe]) for recipe in RECIPES]
    lines.append(_row("true box", "", summary[TRUE_BOX]))
    return "\n".join(lines)


def _row(name: str, recipe: str, score: dict) -> str:
    if not score["n"]:
        return f"{name:<20}{recipe:<8}{0:>5}{'-':>9}"
    low, high = score["interval"]
    failures = ", ".join(f"{count} {cause}" for cause, count in score["failures"].items())
    interval = f"{low:.3f} to {high:.3f}"
    return f"{name:<20}{recipe:<8}{score['n']:>5}{score['success']:>9.3f}  {interval:<16}{failures}"


def rows(trials: Iterable[Trial]) -> list[dict]:
    """One plain dict for each trial, for a file."""
    return [
        {
            "scene": trial.scene, "object": trial.task.index, "category": trial.category, "kind": trial.task.kind,
            "question": trial.task.question, "width_mm": round(trial.width * 1e3, 1), "excluded": trial.excluded,
            "outcomes": {"/".join(filter(None, key)): outcome for key, outcome in trial.outcomes.items()},
        }
        for trial in trials
    ]  # fmt: skip
