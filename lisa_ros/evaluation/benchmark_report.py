"""summary.json and report.html of a benchmark's rows."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.metrics import PRECISION_THRESHOLDS
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.evaluation.published import SOURCE, published_rows
from lisa_ros.evaluation.report import Report, percent
from lisa_ros.evaluation.rows import Row
from lisa_ros.evaluation.run import EvaluationDataset, union_truth
from lisa_ros.evaluation.summary import already_seen, chosen_examples
from lisa_ros.visualization import annotated_picture

HEADER = ("", "n", "gIoU", "cIoU", "Pr@0.5", "Pr@0.7", "Pr@0.9", "absent refused", "present found", "empty")
_MODE = {
    "teacher_forced": "Teacher-forced: the answer [SEG]. is given, as in the paper's validation.",
    "generative": "Generative: the masks of the answer that the model wrote itself.",
}


def write_benchmark(
    directory: Path, summary: dict, rows: Sequence[Row], dataset: EvaluationDataset, predictor: Predictor
) -> None:
    """Writes both files. The pictures' answers are asked again: masks of thousands of queries are not kept."""
    write_json(directory / "summary.json", summary)
    benchmark, split = summary["benchmark"], summary["source"].rsplit("/", 1)[-1]
    report = Report(f"{summary['source']}: {summary['model']}", _MODE[summary["mode"]])
    seen = already_seen(summary["model"], benchmark, split)
    if seen:
        report.warning(seen)
    if summary["bad_samples"]:
        report.warning(f"{len(summary['bad_samples'])} samples could not be read and are in no score.")
    overall = summary["overall"]
    report.numbers(
        {
            "gIoU": with_interval(overall["giou"], overall["giou_ci"]),
            "cIoU": with_interval(overall["ciou"], overall["ciou_ci"]),
            "questions": str(overall["n"]),
            "unfinished answers": percent(overall["format_failures"]),
        }
    )
    published = [
        (row.model, "", _number(row.giou), _number(row.ciou), *[""] * (len(HEADER) - 4))
        for row in published_rows(benchmark, split)
    ]
    report.table("Scores, in percent", HEADER, score_rows(summary), aside=published, note=SOURCE if published else "")
    report.histogram("IoU of each question", {summary["mode"]: [row.iou for row in rows]})
    thresholds = np.linspace(0, 1, 51)
    present = np.array([row.iou for row in rows if row.present])
    share = [float((present >= t).mean()) if len(present) else 0.0 for t in thresholds]
    report.curve(
        "Share of present targets with at least this IoU", {summary["mode"]: (thresholds, share)},
        x_label="IoU", y_label="share", y_limits=(0, 1),
    )  # fmt: skip
    for name, chosen in chosen_examples(rows).items():
        report.pictures(name.capitalize(), [picture_of(row, dataset, predictor) for row in chosen])
    report.write(directory / "report.html")


def score_rows(summary: dict) -> list[tuple[str, ...]]:
    """Rows of the table of scores, under HEADER."""
    parts = {"all": summary["overall"]}
    if summary["short"]["n"] and summary["long"]["n"]:
        parts |= {"short (phrases)": summary["short"], "long (sentences)": summary["long"]}
    if len(summary["by_kind"]) > 1:
        parts |= summary["by_kind"]
    return [_score_row(name, scores) for name, scores in parts.items()]


def _score_row(name: str, scores: dict) -> tuple[str, ...]:
    precision = [scores["precision_at"][str(t)] for t in PRECISION_THRESHOLDS if t in (0.5, 0.7, 0.9)]
    shares = [scores["giou"], scores["ciou"], *precision, scores["n_acc"], scores["t_acc"], scores["empty"]]
    return (name, str(scores["n"]), *map(percent, shares))


def picture_of(row: Row, dataset: EvaluationDataset, predictor: Predictor) -> tuple[str, np.ndarray]:
    """Caption and sheet of one scored query, asked again."""
    index = next(i for i in range(len(dataset)) if dataset.key(i) == row.key)
    sample = dataset[index]
    turn = sample.turns[row.turn]
    result = predictor(predictor.lisa.encode(sample.image), turn)
    truth = union_truth(turn)
    sheet = annotated_picture(sample.image, result, truth=truth, iou=row.iou, note=row.kind)
    return f"{row.key}: {row.text}", sheet


def with_interval(value: float | None, interval: Sequence[float | None]) -> str:
    """A share with its 95% interval, in percent: "52.3 (48.0 to 56.1)"."""
    if value is None or interval[0] is None:
        return percent(value)
    return f"{percent(value)} ({percent(interval[0])} to {percent(interval[1])})"


def write_json(path: Path, content: dict) -> None:
    """Writes a file that is whole or not there."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
