"""report.html of many scenes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.evaluation.html_report import HtmlReport, percent, with_interval
from lisa_ros.evaluation.scans.figures import OFFLINE
from lisa_ros.evaluation.scans.rows import ReplayRow

_ABOUT = (
    "Every question was asked about the frames of the .sens files, without ROS: the figures that `lisa-ros eval bag` "
    "calls offline, and finds equal to the real node's in lockstep."
)
_HEADER = ("", "n", "frames", "gIoU", "cIoU", "Pr@0.5", "absent refused", "present found")
_SHOWN = 4


def write_page(directory: Path, summary: dict, rows: Sequence[ReplayRow]) -> None:
    """Writes report.html beside summary.json; pictures are those in the scenes' folders."""
    report = HtmlReport(f"{len(summary['scenes'])} scenes: {summary['model'] or 'no model was asked'}", _ABOUT)
    for scene, why in summary["failed"].items():
        report.warning(f"{scene} is in no score: {why}")
    for scene, frames in summary["damaged"].items():
        report.warning(f"{scene}: {len(frames)} damaged frames were not asked about, the first: {min(frames, key=int)}")
    scores = summary["scores"]
    report.numbers(
        {
            "gIoU": with_interval(scores["giou"], scores["giou_ci"]),
            "cIoU": with_interval(scores["ciou"], scores["ciou_ci"]),
            "questions": str(scores["n"]),
        }
    )
    table = [_score_row("all", scores), *(_score_row(kind, part) for kind, part in scores["by_kind"].items())]
    aside = [_score_row(name, part) for name, part in summary["baselines"].items()]
    note = (
        f"{summary['without_truth']} questions about frames that say nothing about them were not asked. In italics: "
        "baselines on the same questions. Intervals are over scenes; of a single scene, over questions."
    )
    report.table("Scores, in percent", _HEADER, table, aside=aside, note=note)
    ranked = sorted(summary["scenes"].items(), key=lambda item: item[1]["giou"] or 0.0)
    report.table("Scenes, from worst to best", _HEADER, [_score_row(name, part) for name, part in ranked])
    report.histogram("IoU of each question", {OFFLINE: [row.iou for row in rows if row.protocol == OFFLINE]})
    names = [name for name, _ in ranked]
    for title, which, chosen in (
        ("Worst answers of the worst scenes", "worst", names[:_SHOWN]),
        ("Median answers of the middle scenes", "median", names[max(0, (len(names) - _SHOWN) // 2) :][:_SHOWN]),
        ("Best answers of the best scenes", "best", names[::-1][:_SHOWN]),
    ):
        pictures = [(name, _picture(directory / "scenes" / name / f"{which}.jpg")) for name in chosen]
        report.pictures(title, [(name, picture) for name, picture in pictures if picture is not None])
    report.paragraph("Beside this page: summary.json, rows.csv and rows.jsonl (every question), scenes/.")
    report.write(directory / "report.html")


def _score_row(name: str, part: dict) -> tuple[str, ...]:
    shares = part["giou"], part["ciou"], part["precision_at"]["0.5"], part["n_acc"], part["t_acc"]
    return (name, str(part["n"]), str(part["images"]), *map(percent, shares))


def _picture(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB; None where a scene has no answer to show."""
    pixels = cv2.imread(str(path)) if path.is_file() else None
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
