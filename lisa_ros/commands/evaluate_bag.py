"""`lisa-ros eval bag`: a recording replayed to the real node, scored, with a report."""

import argparse

from lisa_ros.commands.common import output_directory, printable
from lisa_ros.middleware import require_ros

NAME = "bag"


def add_parser(benchmarks) -> None:
    """The sub-command."""
    from lisa_ros.replay.arguments import ARGUMENTS

    about = "a recording replayed to the real node over real topics, in lockstep and in real time, with a report"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    for argument in ARGUMENTS:
        words = argument.about
        words += f" (default: {argument.default})" if argument.default else ""
        flag = {"nargs": "?"} if argument.name == "bag" else {}
        name = "bag" if argument.name == "bag" else "--" + argument.name.replace("_", "-")
        parser.add_argument(name, default="", metavar=argument.name.upper(), help=words.replace("%", "%%"), **flag)


def run(args: argparse.Namespace) -> int:
    """Evaluates. Exit status 1 where the path changes what it carries, or questions got no answer."""
    require_ros()
    from lisa_ros.replay.arguments import ARGUMENTS, options
    from lisa_ros.replay.evaluate_recording import run_replay

    chosen = options({argument.name: getattr(args, argument.name) for argument in ARGUMENTS})
    output_directory(chosen.out)
    summary = run_replay(chosen, _write)
    _write("\n" + table(summary))
    for problem in summary["problems"]:
        _write(f"FAILED: {problem}")
    _write(f"report: {(chosen.out / 'report.html').resolve().as_uri()}")
    return 0 if summary["passed"] else 1


def table(summary: dict) -> str:
    """The scores for people to read, in percent."""
    from lisa_ros.evaluation.html_report import percent

    parts = {name: summary[name] for name in ("truth", "lockstep", "offline", "realtime")} | summary["baselines"]
    lines = [f"{'':<20}{'n':>5}{'gIoU':>8}{'cIoU':>8}{'Pr@0.5':>8}{'absent refused':>16}{'unanswered':>12}"]
    for name, part in parts.items():
        shares = (part["giou"], part["ciou"], part["precision_at"]["0.5"])
        lines.append(
            f"{name:<20}{part['n']:>5}"
            + "".join(f"{percent(share):>8}" for share in shares)
            + f"{percent(part['n_acc']):>16}{part.get('unanswered', ''):>12}"
        )
    realtime = summary["realtime"]
    age = realtime["image_age"]
    lines += [
        "",
        f"truth through ROS {summary['truth_giou']:g} · lockstep equals offline: {summary['pixel_equal']} · "
        f"real time: {realtime['answers']} answers about {realtime['frames_answered']} of "
        f"{realtime['frames_played']} frames"
        + (f", image age {age['p50']:.2f} s (p95 {age['p95']:.2f} s)" if age["p50"] is not None else ""),
        f"{summary['model']}, {summary['cases']} questions, {summary['seconds']:.0f} s in all",
    ]
    return "\n".join(lines)


def _write(text: str):
    print(printable(text), flush=True)
