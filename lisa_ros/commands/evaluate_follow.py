"""`lisa-ros eval follow`: following targets through moving scenes, against asking about every image."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable

NAME = "follow"
_COLUMNS = ("iou", "visible", "lost", "lost_hidden", "found_again", "same_id", "new_ids", "wrongly_kept", "answered")
_SIDES = {"every_image": "every image asked", "followed": "followed"}


def add_parser(benchmarks) -> None:
    """The sub-command."""
    about = "targets followed through moving tabletop scenes, against asking the model about every image"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--scenes", type=positive, default=10, metavar="N",
                        help="scenes, with a clip for each motion (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seconds", type=positive, default=4, metavar="S",
                        help="length of a clip (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rate", type=positive, default=30, metavar="HZ",
                        help="images per second of the clip (default: %(default)s)")  # fmt: skip
    parser.add_argument("--interval", type=float, default=1.0, metavar="S",
                        help="between two answers of the model while it follows (default: %(default)s)")  # fmt: skip
    parser.add_argument("--every", type=positive, default=1, metavar="N",
                        help="ask about every Nth image only where it does not follow, which is the slow part "
                             "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--tracker", default="flow", metavar="NAME",
                        help="what moves the masks: flow, edgetam or sam3_tracker (default: %(default)s)")  # fmt: skip
    parser.add_argument("--tracker-model", default="", metavar="DIR", help="its weights, for all but flow")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Follows, prints a table and writes the scores."""
    import cv2

    from lisa_ros.evaluation.files import write_json
    from lisa_ros.evaluation.following.clips import draw_clips
    from lisa_ros.evaluation.following.evaluate_following import evaluate_following
    from lisa_ros.tracking import check_tracker, tracker_factory

    check_tracker(args.tracker, args.tracker_model)
    if args.json:
        output_directory(args.json.parent)
    cv2.setNumThreads(1)  # as in the node
    lisa = load_lisa(args)
    new_tracker = tracker_factory(args.tracker, args.tracker_model, lisa.device)
    clips = draw_clips(args.scenes, length=args.seconds, rate=args.rate)
    kinds = evaluate_following(lisa, clips, args.interval, args.every, True, new_tracker)
    scores = {"benchmark": NAME, "model": lisa.provenance, "scenes": args.scenes, "seconds": args.seconds}
    scores |= {"rate": args.rate, "interval": args.interval, "every": args.every, "tracker": args.tracker}
    scores["kinds"] = kinds
    print(printable(table(scores)))
    if args.json:
        write_json(args.json, scores)
        print(f"scores in {args.json}")
    return 0


def table(scores: dict) -> str:
    """The scores for people to read."""
    lines = [
        f"{scores['model']}: {scores['scenes']} scenes, clips of {scores['seconds']} s at {scores['rate']} images/s, "
        f"asked every {scores['interval']:g} s while following by {scores['tracker']}",
        "",
        f"{'':<10}{'':<19}{'images/s':>9}" + "".join(f"{name.replace('_', ' '):>14}" for name in _COLUMNS),
    ]
    for kind, row in scores["kinds"].items():
        for side, name in _SIDES.items():
            numbers = "".join(f"{_number(row[side][column]):>14}" for column in _COLUMNS)
            lines.append(f"{kind:<10}{name:<19}{_number(row[side]['rate']):>9}{numbers}")
        lines.append(
            f"{'':<10}IoU {_number(row['iou_ratio'])} of asking, at {_number(row['rate_ratio'])} times its rate, "
            f"{_number(row['cpu_ratio'])} times by CPU time"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}" if value < 10 else f"{value:.1f}"
