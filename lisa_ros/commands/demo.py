"""`lisa-ros demo`: the whole graph at work, with a report."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, output_directory, printable
from lisa_ros.middleware import require_ros


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros demo`."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        metavar="DIR",
        help="where pictures, clouds, summary.json and index.html go (default: %(default)s)",
    )
    add_model_arguments(parser, unmerged=False)


def run(args: argparse.Namespace) -> int:
    """Asks, reports, and fails where a question got no answer or the masks are not good enough."""
    require_ros()
    from lisa_ros.demo.run import run_demo

    folder = output_directory(args.out)
    names = ("model", "vision_tower", "precision", "device", "conv_type", "style", "threads", "compile")
    parameters = {name: value for name in names if (value := getattr(args, name))}
    records, content = run_demo(folder, parameters, _write)
    _write("\n" + table(records))
    _write(
        f"\nmean IoU of present targets {content['mean_iou_present']:.2f}, "
        f"absent refused {content['absent_refused']} of {content['absent']}, "
        f"phrases told rightly {content['phrases_right']} of {content['phrases_asked']}, "
        f"{content['seconds']:.0f} s in all"
    )
    _write(f"report: {(folder / 'index.html').resolve().as_uri()}")
    for problem in content["problems"]:
        _write(f"FAILED: {problem}")
    return 0 if content["passed"] else 1


def table(records) -> str:
    """The outcome of each question, one a line."""
    lines = [f"{'#':>2} {'kind':<13} {'via':<6} {'status':<10} {'IoU':>4} {'s':>6}  question"]
    for record in records:
        seconds = f"{record.timed.seconds:6.2f}" if record.timed else f"{'-':>6}"
        lines.append(
            f"{record.number:>2} {record.query.kind:<13} {record.via:<6} {record.status:<10} "
            f"{record.iou:4.2f} {seconds}  {record.query.text}"
        )
    return "\n".join(lines)


def _write(text: str):
    print(printable(text), flush=True)
