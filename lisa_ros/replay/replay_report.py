"""report.html of an evaluation by replay."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.html_report import HtmlReport, percent, with_interval
from lisa_ros.evaluation.scans.figures import LOCKSTEP, OFFLINE, REALTIME, TRUTH
from lisa_ros.evaluation.scans.rows import ReplayRow
from lisa_ros.evaluation.scans.scan import Scan
from lisa_ros.evaluation.scans.sheets import captioned_sheets, chosen_rows
from lisa_ros.recordings.topics import START

_ABOUT = (
    "The recording was played to the real perception node on real topics. Truth: the node with the true masks in the "
    "model's place; anything but 1 would be the path's fault. Lockstep: each frame, its questions, their answers. "
    "Offline: the same core on the .sens file, without ROS. Real time: the bag at its own speed, one question after "
    "the other about the newest image."
)


def write_page(directory: Path, summary: dict, scan: Scan, rows: Sequence[ReplayRow]):
    """Writes report.html beside rows.csv, summary.json and the masks."""
    by_protocol: dict[str, list[ReplayRow]] = defaultdict(list)
    for row in rows:
        by_protocol[row.protocol].append(row)
    report = HtmlReport(f"{summary['scene']}: {summary['model']}", _ABOUT)
    for problem in summary["problems"]:
        report.warning(problem)
    _numbers(report, summary)
    _scores(report, summary)
    _charts(report, by_protocol)
    _times(report, summary)
    _space(report, summary)
    _queries(report, by_protocol, scan)
    for name, chosen in chosen_rows(by_protocol[LOCKSTEP]).items():
        report.pictures(f"Lockstep, {name}", captioned_sheets(chosen, directory, scan))
    report.paragraph("Beside this page: summary.json, rows.csv and rows.jsonl (every question), masks/, log.txt.")
    report.write(directory / "report.html")


def _numbers(report: HtmlReport, summary: dict):
    lockstep, realtime = summary[LOCKSTEP], summary[REALTIME]
    report.numbers(
        {
            "truth through ROS, gIoU": f"{summary['truth_giou']:g}",
            "lockstep gIoU": with_interval(lockstep["giou"], lockstep["giou_ci"]),
            "lockstep equals offline": "to the pixel" if summary["pixel_equal"] else "no",
            "real time, answers": f"{realtime['answers']} of {realtime['questions']}",
            "image age at the answer, p50": _seconds(realtime["image_age"]["p50"]),
        }
    )


def _scores(report: HtmlReport, summary: dict):
    header = ("", "n", "gIoU", "cIoU", "Pr@0.5", "absent refused", "present found", "unanswered")
    rows = [_score_row(name, summary[name]) for name in (TRUTH, LOCKSTEP, OFFLINE, REALTIME)]
    rows += [_score_row(f"lockstep, {kind}", part) for kind, part in summary[LOCKSTEP]["by_kind"].items()]
    aside = [_score_row(name, part) for name, part in summary["baselines"].items()]
    note = (
        f"{summary['without_truth']} questions about frames that say nothing about them were not asked. "
        "In italics: baselines on the same questions. The interval of lockstep's gIoU is a 95% interval over "
        "questions, however many frames each was asked about."
    )
    report.table("Scores, in percent", header, rows, aside=aside, note=note)
    protocols = {name: summary[name] for name in (TRUTH, LOCKSTEP, OFFLINE, REALTIME)}
    candidate_table(report, protocols, summary["baselines"])


def candidate_table(report: HtmlReport, protocols: Mapping[str, dict], baselines: Mapping[str, dict]):
    """Precision, recall and F1 of the chosen objects; name -> `score_figures`."""

    def row(name: str, part: dict) -> tuple[str, ...]:
        found = part["candidates"]
        shares = [with_interval(found[key], found[f"{key}_ci"]) for key in ("precision", "recall", "f1")]
        return (name, str(found["n"]), *shares)

    note = (
        "In percent, with 95% intervals over questions. Candidates are the annotated objects in view; a mask "
        "chooses those of which it covers at least half. Means over questions: to choose nothing where nothing is "
        "meant is right."
    )
    report.table(
        "Objects chosen", ("", "n", "precision", "recall", "F1"), [row(*item) for item in protocols.items()],
        aside=[row(*item) for item in baselines.items()], note=note,
    )  # fmt: skip


def _score_row(name: str, part: dict) -> tuple[str, ...]:
    shares = part["giou"], part["ciou"], part["precision_at"]["0.5"], part["n_acc"], part["t_acc"]
    return (name, str(part["n"]), *map(percent, shares), str(part.get("unanswered", "")))


def _charts(report: HtmlReport, by_protocol: dict[str, list[ReplayRow]]):
    shown = {name: by_protocol[name] for name in (LOCKSTEP, REALTIME) if by_protocol[name]}
    report.histogram("IoU of each question", {name: [row.iou for row in rows] for name, rows in shown.items()})
    timed = [row for row in by_protocol[REALTIME] if row.age is not None]
    if timed:
        times = [(row.stamp - START) / 1e9 for row in timed]
        series = {"age at the answer": (times, [row.age for row in timed])}
        report.curve("Real time: age of the image at its answer", series, x_label="image's time in the bag, s",
                     y_label="age, s")  # fmt: skip
    steady = sorted((row for row in by_protocol[LOCKSTEP] if row.stability is not None), key=lambda row: row.stability)
    if steady:
        share = np.arange(1, len(steady) + 1) / len(steady)
        series = {
            "answers": ([row.stability for row in steady], share),
            "truth": (sorted(row.stability_truth for row in steady), share),
        }
        title, x_label = "Stability: share of pairs of frames with at most this IoU", "IoU over what both frames see"
        report.curve(title, series, x_label=x_label, y_label="share", y_limits=(0, 1.05))


def _times(report: HtmlReport, summary: dict):
    stages = list(dict.fromkeys([*summary[LOCKSTEP]["stages"], *summary[REALTIME]["stages"]]))
    rows = [(stage, *_quantiles(summary[LOCKSTEP], stage), *_quantiles(summary[REALTIME], stage)) for stage in stages]
    whole = [_pair(summary[name]["seconds"]) for name in (LOCKSTEP, REALTIME)]
    rows.append(("question to result", *whole[0], *whole[1]))
    rows.append(("image's age at the answer", "", "", *_pair(summary[REALTIME]["image_age"])))
    header = ("seconds", "lockstep p50", "p95", "real time p50", "p95")
    report.table("Where the time goes", header, rows)
    part = summary[REALTIME]
    rows = [
        ("frames played", str(part["frames_played"])),
        ("frames that reached the node", "-" if part["frames_received"] is None else str(part["frames_received"])),
        ("frames with an answer about them", str(part["frames_answered"])),
        ("questions asked", str(part["questions"])),
        ("answers", str(part["answers"])),
        ("answers about frames without a truth", str(part["without_truth"])),
        ("player late by at most", _seconds(part["worst_delay"])),
        *((f"memory, {name}", value) for name, value in part["memory"].items()),
    ]
    report.table("What really came out", ("real time", ""), rows)


def _space(report: HtmlReport, summary: dict):
    header = ("", "clouds", "missing", "centroid p50", "p95", "precision 2 cm", "recall 2 cm", "precision 5 cm",
              "recall 5 cm")  # fmt: skip
    rows = []
    for name in (TRUTH, LOCKSTEP, REALTIME):
        part = summary[name]["space"]
        error = [_centimetres(part["centroid_error"][q]) for q in ("p50", "p95")]
        shares = [percent(part[f"{what}_{at}cm"]) for at in (2, 5) for what in ("precision", "recall")]
        rows.append((name, str(part["n"]), str(part["missing"]), *error, *shares))
    note = "Truth shows what cleaning the cloud (rim, voxels, outliers) costs. Shares in percent, of points."
    report.table("Clouds against the true points", header, rows, note=note)
    rows = []
    for name in (TRUTH, LOCKSTEP, REALTIME):
        part = summary[name]["stability"]
        numbers = [percent(part[key]) for key in ("mean", "truth", "adjacent", "adjacent_truth")]
        rows.append((name, str(part["pairs"]), *numbers[:2], str(part["adjacent_pairs"]), *numbers[2:]))
    header = ("", "pairs", "answers", "truth", "pairs of consecutive frames", "answers", "truth")
    note = (
        "IoU, in percent, of two answers to one question about two frames, over the surface that both see: the "
        "camera's motion is taken out by depth and pose."
    )
    report.table("Stability", header, rows, note=note)


def _queries(report: HtmlReport, by_protocol: dict[str, list[ReplayRow]], scan: Scan):
    rows = []
    for query in scan.queries:
        means = []
        for name in (LOCKSTEP, REALTIME):
            ious = [row.iou for row in by_protocol[name] if row.query_id == query.query_id]
            means += [str(len(ious)), percent(float(np.mean(ious)) if ious else None)]
        rows.append((query.text, query.kind, *means))
    header = ("question", "kind", "lockstep n", "mean IoU", "real time n", "mean IoU")
    report.table("Questions", header, rows)


def _quantiles(part: dict, stage: str) -> tuple[str, str]:
    return _pair(part["stages"].get(stage, {"p50": None, "p95": None}))


def _pair(quantiles: dict) -> tuple[str, str]:
    return tuple("-" if quantiles[q] is None else f"{quantiles[q]:.3f}" for q in ("p50", "p95"))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _centimetres(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} cm"
