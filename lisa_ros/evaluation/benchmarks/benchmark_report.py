"""summary.json and report.html of a benchmark's rows, and the table for the terminal."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lisa_ros.errors import DatasetError
from lisa_ros.evaluation.benchmarks.asking import ask
from lisa_ros.evaluation.benchmarks.evaluate_dataset import BAD_SAMPLE, EvaluationDataset
from lisa_ros.evaluation.benchmarks.published import SOURCE, published_rows
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.benchmarks.scores import already_seen, chosen_examples
from lisa_ros.evaluation.files import write_summary
from lisa_ros.evaluation.html_report import HtmlReport, percent, with_interval
from lisa_ros.evaluation.metrics import PRECISION_THRESHOLDS, union_truth
from lisa_ros.evaluation.predictors import Predictor, encode_sample
from lisa_ros.types import FALSE_PREMISE
from lisa_ros.visualization import annotated_picture

HEADER = ("", "n", "gIoU", "cIoU", *(f"Pr@{t}" for t in PRECISION_THRESHOLDS), "N-acc", "T-acc", "empty", "format fail")
LEGEND = (
    "In percent. Pr@t: present targets with IoU of at least t. N-acc: absent targets refused; T-acc: present targets "
    "not refused. empty: present targets without a pixel. format fail: no mask token for a present target, or an "
    "answer that was cut off or could not be asked for."
)
_MODE = {
    "teacher_forced": "Teacher-forced: the answer [SEG]. is given, as in the paper's validation.",
    "generative": "Generative: the masks of the answer that the model wrote itself.",
}
_APART = "Published scores: of the other mode, not to be compared with the above"
_MAIN = (("gIoU", "giou"), ("cIoU", "ciou"))
_SHARES = (*_MAIN, ("N-acc", "n_acc"), ("T-acc", "t_acc"), ("See-acc", "see_accuracy"))
_SHOWN_BAD = 5


def write_benchmark(
    directory: Path,
    summary: dict,
    rows: Sequence[QueryRow],
    dataset: EvaluationDataset,
    predictor: Predictor,
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = (),
) -> None:
    """Writes both files. tables: further ones for the page, as (title, header, rows).

    The pictures' answers are asked again: masks of thousands of queries are not kept.
    """
    write_summary(directory / "summary.json", summary)
    report = HtmlReport(f"{summary['source']}: {summary['model']}", _MODE[summary["mode"]])
    for warning in warnings(summary):
        report.warning(warning)
    report.numbers(_headline(summary["overall"]))
    published = published_table(summary)
    beside = published if _comparable(summary) else []
    report.table("Scores", HEADER, score_rows(summary), aside=beside, note=f"{LEGEND} {SOURCE * bool(beside)}".strip())
    if published and not beside:
        columns = [(row[0], *row[2:4]) for row in published]
        report.table(_APART, ("", *HEADER[2:4]), [], aside=columns, note=f"In percent. {SOURCE}")
    for title, header, lines in tables:
        report.table(title, header, lines)
    report.table("95% intervals over pictures", ("", "score", "from", "to"), _interval_rows(summary))
    _charts(report, summary, rows)
    for name, chosen in chosen_examples(rows).items():
        _pictures(report, name.capitalize(), chosen, dataset, predictor)
    report.write(directory / "report.html")


def _headline(overall: dict) -> dict[str, str]:
    scores = [(name, key) for name, key in _SHARES if key in ("giou", "ciou") or overall["n_acc"] is not None]
    return {
        **{f"{name}, %": with_interval(overall[key], overall[f"{key}_ci"]) for name, key in scores},
        "questions": str(overall["n"]),
        "pictures": str(overall["images"]),
        "empty predictions, %": percent(overall["empty"]),
        "format failures, %": percent(overall["format_failures"]),
    }


def _charts(report: HtmlReport, summary: dict, rows: Sequence[QueryRow]) -> None:
    """By length where there are both, else all in one."""
    parts = {"short": [row for row in rows if not row.sentence], "long": [row for row in rows if row.sentence]}
    if not all(parts.values()):
        parts = {summary["mode"]: list(rows)}
    ious = {name: np.array([row.overlap.exact_iou for row in part if row.present]) for name, part in parts.items()}
    report.histogram("IoU of questions about present targets", ious)
    thresholds = np.linspace(0, 1, 51)
    shares = {name: (thresholds, [float((v >= t).mean()) for t in thresholds]) for name, v in ious.items() if len(v)}
    title = "Share of present targets with at least this IoU"
    report.curve(title, shares, x_label="IoU", y_label="share", y_limits=(0, 1.02))


def warnings(summary: dict) -> list[str]:
    """What readers of the scores must know first."""
    found, bad = [], summary["bad_samples"]
    seen = already_seen(summary["model"], summary["benchmark"], split_of(summary))
    if seen:
        found.append(seen)
    if bad:
        named = "; ".join(f"{key}: {reason}" for key, reason in list(bad.items())[:_SHOWN_BAD])
        rest = f"; and {len(bad) - _SHOWN_BAD} more, see summary.json" if len(bad) > _SHOWN_BAD else ""
        found.append(f"{len(bad)} samples could not be read and are in no score: {named}{rest}")
    missing = summary["samples"] - summary["overall"]["images"] - len(bad)
    if missing:
        found.append(f"these are scores of a part: {missing} of {summary['samples']} samples have not been asked yet")
    return found


def split_of(summary: dict) -> str:
    """Name of the split in the source, "reason_seg/val" -> "val"."""
    return summary["source"].rsplit("/", 1)[-1]


def score_rows(summary: dict) -> list[tuple[str, ...]]:
    """Rows of the table of scores, under HEADER."""
    parts = {"all": summary["overall"]}
    if summary["short"]["n"] and summary["long"]["n"]:
        parts |= {"short (phrases)": summary["short"], "long (sentences)": summary["long"]}
    if len(summary["by_kind"]) > 1 and summary["benchmark"] != "reasonseg":  # its kinds are short and long
        parts |= summary["by_kind"]
    return [_score_row(name, scores) for name, scores in parts.items()]


def published_table(summary: dict) -> list[tuple[str, ...]]:
    """The paper's rows under HEADER, each marked as published; none beside scores of false premises."""
    if FALSE_PREMISE in summary["by_kind"]:
        return []
    rest = [""] * (len(HEADER) - 4)
    return [
        (f"published {row.model}{', ' * bool(row.part)}{row.part}", "", _number(row.giou), _number(row.ciou), *rest)
        for row in published_rows(summary["benchmark"], split_of(summary))
    ]


def text_table(summary: dict) -> str:
    """The scores for people to read, in percent."""
    overall, published = summary["overall"], published_table(summary)
    beside = published if _comparable(summary) else []
    rows = [HEADER, *score_rows(summary), *beside]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [f"{summary['model']} on {summary['source']}, {summary['mode']}", ""]
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    intervals = (f"{name} {with_interval(overall[key], overall[f'{key}_ci'])}" for name, key in _MAIN)
    lines += ["", f"{', '.join(intervals)}: 95% intervals over pictures"]
    if published and not beside:
        lines += ["", f"{_APART}:", *(f"{row[0].ljust(widths[0])}  gIoU {row[2]}  cIoU {row[3]}" for row in published)]
    return "\n".join([*lines, *([SOURCE] if published else [])])


def plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the report for the terminal, its title above."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    shown = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *shown])


def _comparable(summary: dict) -> bool:
    """Whether the published scores may stand in the columns of these: both are teacher-forced."""
    return summary["mode"] == "teacher_forced"


def _interval_rows(summary: dict) -> list[tuple[str, ...]]:
    overall = summary["overall"]
    named = [(name, overall[key], overall[f"{key}_ci"]) for name, key in _SHARES]
    named += [(f"Pr@{t}", share, overall["precision_at_ci"][t]) for t, share in overall["precision_at"].items()]
    return [(name, *map(percent, (share, *interval))) for name, share, interval in named if share is not None]


def _score_row(name: str, scores: dict) -> tuple[str, ...]:
    precision = [scores["precision_at"][str(t)] for t in PRECISION_THRESHOLDS]
    shares = scores["n_acc"], scores["t_acc"], scores["empty"], scores["format_failures"]
    return (name, str(scores["n"]), *map(percent, (scores["giou"], scores["ciou"], *precision, *shares)))


def _pictures(
    report: HtmlReport, title: str, rows: Sequence[QueryRow], dataset: EvaluationDataset, predictor: Predictor
) -> None:
    """A sample may be gone since it was scored: its scores stand, and so do the other pictures."""
    shown, lost = [], []
    for row in rows:
        try:
            shown.append(picture_of(row, dataset, predictor))
        except BAD_SAMPLE as error:
            lost.append(f"{row.key} was scored, but cannot be shown: {error}")
    report.pictures(title, shown)
    for text in lost:
        report.warning(text)


def picture_of(row: QueryRow, dataset: EvaluationDataset, predictor: Predictor) -> tuple[str, np.ndarray]:
    """Caption and sheet of one scored query, asked again."""
    index = next(i for i in range(len(dataset)) if dataset.key(i) == row.key)
    sample = dataset[index]
    turn = sample.turns[row.turn] if row.turn < len(sample.turns) else None
    if turn is None or turn.question != row.text:
        raise DatasetError(f"it is not asked {row.text!r} any more")
    result, error, _ = ask(predictor, encode_sample(predictor.lisa, sample), turn)
    truth = union_truth(turn)
    note = " · ".join(filter(None, (row.kind, error and f"not asked: {error}")))
    sheet = annotated_picture(sample.image, result, truth=truth, iou=row.iou, note=note)
    return f"{row.key}: {row.text}", sheet


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
