"""Scores of geometry: per case and method, with intervals, and per category."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.geometry.evaluate_boxes import DEPTHS, MASKS, METHODS, BoxRow
from lisa_ros.evaluation.html_report import HtmlReport
from lisa_ros.evaluation.intervals import ratio_intervals

_WORDS = "case", "method", "n", "IoU", "95%", "width", "p90", "tilt p90", "foreign", "within", "95%"
_WIDTHS = 17, 7, 5, 7, 15, 9, 8, 10, 10, 8, 15
_SHOWN = 40.0  # mm, of errors of width


def summarise(rows: Sequence[BoxRow]) -> dict:
    """case -> method -> scores; cases without rows are left out.

    iou: mean of volume IoU, 0 where there is no box. width_mm: median of the signed error of the shorter horizontal
    extent, width_mm_p90: 90th percentile of its size. tilt_deg_p90. foreign: share of all points that lie over 10 mm
    outside of the true box. within: share of targets whose centre is within 12 mm, all extents within 12 mm and, where
    the true ones differ by a quarter, yaw within 12 degrees. n: targets; boxes: those with a box; completed: share of
    boxes with an added back. yaw_deg_p90, height_mm, center_mm: percentile and medians. intervals: of iou and within,
    95%, over scenes. categories: n, iou, width_mm, within of each.
    """
    result: dict = {}
    for masks in MASKS:
        for depth in DEPTHS:
            for method in METHODS:
                some = [row for row in rows if (row.masks, row.depth, row.method) == (masks, depth, method)]
                if some:
                    result.setdefault(f"{masks}_{depth}", {})[method] = _scores(some)
    return result


def _scores(rows: Sequence[BoxRow]) -> dict:
    ones = [1.0] * len(rows)
    intervals = ratio_intervals(
        [row.scene for row in rows],
        {"iou": (_of(rows, "iou"), ones), "within": (_of(rows, "within"), ones)},
    )
    categories = sorted({row.category for row in rows})
    return _figures(rows) | {
        "intervals": {name: [_plain(bound) for bound in interval] for name, interval in intervals.items()},
        "categories": {name: _brief([row for row in rows if row.category == name]) for name in categories},
    }


def _figures(rows: Sequence[BoxRow]) -> dict:
    found = [row for row in rows if row.measure.found]
    points = _of(rows, "points").sum()
    return {
        "n": len(rows),
        "boxes": len(found),
        "iou": _plain(_of(rows, "iou").mean()),
        "width_mm": _quantile(_of(rows, "width_mm"), 0.5),
        "width_mm_p90": _quantile(np.abs(_of(rows, "width_mm")), 0.9),
        "tilt_deg_p90": _quantile(_of(rows, "tilt_deg"), 0.9),
        "foreign": _plain(_of(rows, "foreign").sum() / points) if points else None,
        "within": _plain(_of(rows, "within").mean()),
        "yaw_deg_p90": _quantile(_of(rows, "yaw_deg"), 0.9),
        "height_mm": _quantile(_of(rows, "height_mm"), 0.5),
        "center_mm": _quantile(_of(rows, "center_mm"), 0.5),
        "completed": _plain(np.mean([row.measure.completed for row in found])) if found else None,
    }


def _brief(rows: Sequence[BoxRow]) -> dict:
    figures = _figures(rows)
    return {name: figures[name] for name in ("n", "iou", "width_mm", "height_mm", "center_mm", "yaw_deg_p90", "within")}


def _of(rows: Sequence[BoxRow], name: str) -> np.ndarray:
    return np.array([getattr(row.measure, name) for row in rows], float)


def _quantile(values: np.ndarray, share: float) -> float | None:
    values = values[~np.isnan(values)]
    return _plain(np.quantile(values, share)) if len(values) else None


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else round(float(value), 5)


def table(summary: dict) -> str:
    """The scores for people to read: lengths in mm, angles in degrees, shares in percent."""
    lines = ["".join(word.rjust(width) for word, width in zip(_WORDS, _WIDTHS, strict=True))]
    for case in (f"{masks}_{depth}" for masks in MASKS for depth in DEPTHS):
        for method, scores in summary.get(case, {}).items():
            bounds = scores["intervals"]
            cells = (
                case, method, str(scores["n"]), _number(scores["iou"], 3), _interval(bounds["iou"]),
                _number(scores["width_mm"], 1), _number(scores["width_mm_p90"], 1),
                _number(scores["tilt_deg_p90"], 1), _number(scores["foreign"], 2, 100),
                _number(scores["within"], 3), _interval(bounds["within"]),
            )  # fmt: skip
            lines.append("".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True)))
    lines += ["", *_category_lines(summary)]
    return "\n".join(lines)


def _category_lines(summary: dict) -> list[str]:
    """The categories of the first case, both methods side by side."""
    case, methods = next(iter(summary.items()))
    lines = [f"{case:<14}{'n':>5}" + "".join(f"{f'{m}: IoU':>13}{'width':>8}{'within':>8}" for m in methods)]
    for category, first in methods[METHODS[0]]["categories"].items():
        cells = ""
        for scores in methods.values():
            row = scores["categories"][category]
            cells += f"{_number(row['iou'], 3):>13}{_number(row['width_mm'], 1):>8}{_number(row['within'], 2):>8}"
        lines.append(f"{category:<14}{first['n']:>5}{cells}")
    return lines


def _number(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _interval(bounds: list) -> str:
    return "-" if None in bounds else f"{bounds[0]:.3f}..{bounds[1]:.3f}"


def write_page(path: Path, summary: dict, rows: Sequence[BoxRow]) -> None:
    """Writes report.html; summary: as `lisa-ros eval geometry --json` writes it."""
    width, height = summary["size"]
    report = HtmlReport(
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
