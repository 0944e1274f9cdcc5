"""The page of an evaluation of geometry: scores, categories, and how errors are distributed."""

from collections.abc import Sequence
from pathlib import Path

from lisa_ros.evaluation.geometry.run import DEPTHS, MASKS, METHODS, Row
from lisa_ros.evaluation.report import Report

_SHOWN = 40.0  # mm, of errors of width


def write_page(path: Path, summary: dict, rows: Sequence[Row]) -> None:
    """Writes report.html; summary: as `lisa-ros eval geometry --json` writes it."""
    width, height = summary["size"]
    report = Report(
        "Boxes of simulated objects",
        f"{summary['scenes']} held-out scenes from number {summary['seed']} on, {width}x{height}, noisy depth of a "
        f"{summary['noise']}; predicted masks by {summary['model'] or 'no model'}.",
    )
    cases = [case for case in (f"{masks}_{depth}" for masks in MASKS for depth in DEPTHS) if case in summary]
    keys = ("n", "boxes", "iou", "width_mm", "width_mm_p90", "tilt_deg_p90", "foreign", "within", "completed")
    report.table(
        "Scores",
        ("case, method", *keys),
        [
            (f"{case}, {method}", *(_text(scores[key]) for key in keys))
            for case in cases
            for method, scores in summary[case].items()
        ],
    )
    for case in cases:
        some = [row for row in rows if row.case == case]
        ious = {method: [row.measure.iou for row in some if row.method == method] for method in METHODS}
        report.histogram(f"{case}: IoU of volumes", ious)
        widths = {
            method: [row.measure.width_mm for row in some if row.method == method and row.measure.found]
            for method in METHODS
        }
        report.histogram(f"{case}: error of width", widths, limits=(-_SHOWN, _SHOWN), bins=40, label="mm")
        keys = tuple(next(iter(summary[case][METHODS[0]]["categories"].values())))
        report.table(
            f"{case}: categories by lisa",
            ("category", *keys),
            [
                (name, *(_text(figures[key]) for key in keys))
                for name, figures in summary[case][METHODS[0]]["categories"].items()
            ],
        )
    report.write(path)


def _text(value) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
