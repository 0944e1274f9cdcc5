"""The comparison as JSON, as a table in Markdown, and as a chart."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.files import write_json
from lisa_ros.evaluation.intervals import Interval
from lisa_ros.model.saving import write_atomically
from training.comparison.config import ComparisonBase, ComparisonConfig
from training.comparison.scores import Column, Score, columns

JSON, MARKDOWN, CHART = "comparison.json", "comparison.md", "comparison.png"


def write_report(
    config: ComparisonConfig, found: Mapping[str, Mapping[str, Score]], minutes: Mapping[str, float]
) -> None:
    """Writes JSON, Markdown and chart into run_dir.

    Args:
        config: Of the comparison.
        found: style -> column -> score.
        minutes: Core minutes of each style's training.
    """
    shown = columns(config.evaluation)
    data = {
        "config": {**plain_config(config), "styles": list(config.styles)},
        "core_minutes": dict(minutes),
        "scores": plain_scores(found),
    }
    write_json(config.run_dir / JSON, data)
    text = f"{heading(config)}\n\n{score_tables(shown, found, minutes)}"
    write_atomically(config.run_dir / MARKDOWN, lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(config.run_dir / CHART, lambda path: draw_chart(path, shown, found))


def heading(config: ComparisonBase) -> str:
    """What was trained and scored, in a sentence."""
    return (
        f"{config.training.steps} steps of {config.training.batch_size} scenes with {config.world.phrases} phrases "
        f"each; scored on {config.evaluation.scenes} other scenes. Means with 95% intervals over scenes."
    )


def score_tables(
    shown: Sequence[Column], found: Mapping[str, Mapping[str, Score]], minutes: Mapping[str, float]
) -> str:
    """Scores with intervals in Markdown, then the gains over the first with theirs."""
    first, *others = found
    lines = [
        "| | " + " | ".join([*(column.title for column in shown), "core minutes of training"]) + " |",
        "|---|" + "---|" * (len(shown) + 1),
    ]
    for style, scores in found.items():
        cells = [f"{_number(scores[c.name].value)} {_span(scores[c.name].interval)}" for c in shown]
        lines.append(f"| {style} | " + " | ".join([*cells, f"{minutes[style]:.1f}"]) + " |")
    lines.append("| phrases | " + " | ".join([*(str(found[first][c.name].rows) for c in shown), ""]) + " |")
    lines += ["", f"Against {first}, with bootstrap intervals over scenes; bold where they leave out 0:", ""]
    lines += ["| | " + " | ".join(column.title for column in shown) + " |", "|---|" + "---|" * len(shown)]
    for style in others:
        lines.append(f"| {style} | " + " | ".join(_gain(found[style][column.name]) for column in shown) + " |")
    return "\n".join(lines) + "\n"


def _gain(score: Score) -> str:
    if math.isnan(score.gain):  # the first has no such score
        return ""
    text = f"{score.gain:+.2f} {_span(score.gain_interval)}"
    return f"**{text}**" if score.gain_interval.low > 0 or score.gain_interval.high < 0 else text


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _span(interval: Interval) -> str:
    return f"({_number(interval.low)} to {_number(interval.high)})"


def plain_config(config: ComparisonBase) -> dict[str, object]:
    """What all comparisons have in common, for JSON."""
    parts = {name: vars(getattr(config, name)) for name in ("world", "training", "evaluation")}
    return {"source": config.source, **parts}


def plain_scores(found: Mapping[str, Mapping[str, Score]]) -> dict[str, dict[str, dict[str, object]]]:
    """All scores for JSON; null for what is not known."""
    return {name: {key: _plain_score(score) for key, score in scores.items()} for name, scores in found.items()}


def _plain_score(score: Score) -> dict[str, object]:
    def known(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 4)

    return {
        "value": known(score.value),
        "interval": [known(bound) for bound in score.interval],
        "gain": known(score.gain),
        "gain_interval": [known(bound) for bound in score.gain_interval],
        "phrases": score.rows,
    }


def draw_chart(path: Path, shown: Sequence[Column], found: Mapping[str, Mapping[str, Score]]) -> None:
    """Writes a PNG: all shares with their intervals."""
    from matplotlib.figure import Figure

    shares = [column for column in shown if column.higher_is_better]
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(found)
    for number, (style, scores) in enumerate(found.items()):
        values = np.array([scores[column.name].value for column in shares])
        bounds = np.array([scores[column.name].interval for column in shares])
        errors = np.abs(bounds - values[:, None]).T
        axes.bar(np.arange(len(shares)) + number * width, values, width, yerr=errors, capsize=2, label=style)
    axes.set_xticks(np.arange(len(shares)) + 0.4 - width / 2, [column.title.replace(", ", ",\n") for column in shares])
    axes.set_ylim(0, 1)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=len(found))
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
