"""`lisa-ros eval grasp`: a gripper in physics takes what the words mean."""

import argparse
import json
import time
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable, scene_number

NAME = "grasp"


def add_parser(benchmarks) -> None:
    """The sub-command."""
    about = "simulated grasps in MuJoCo of what questions mean, by the published boxes and by a plain recipe"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--scenes", type=positive, default=40, metavar="N", help="scenes (default: %(default)s)")
    parser.add_argument("--seed", type=scene_number, default=0, metavar="S", help="number of the first held-out scene "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--noise", default="kinect", choices=("kinect", "realsense"),
                        help="sensor of the noisy depth (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="write every trial (trials.jsonl) and a film strip (film.png)")  # fmt: skip
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the trials, prints a table and writes the scores."""
    from PIL import Image

    from lisa_ros.evaluation.files import convert_write_errors, write_json, write_text_atomically
    from lisa_ros.evaluation.grasp.gripper import load_mujoco
    from lisa_ros.evaluation.grasp.success_rates import rows, summarise, table
    from lisa_ros.evaluation.grasp.trials import film, run_trials
    from lisa_ros.evaluation.predictors import Generative

    load_mujoco()  # before the model, which takes longer
    for directory in (args.json and args.json.parent, args.out):
        if directory:
            output_directory(directory)
    started = time.monotonic()
    predictor = Generative(load_lisa(args))
    scenes = range(args.seed, args.seed + args.scenes)
    trials = list(run_trials(scenes, args.noise, predictor, progress=True))
    summary = {"benchmark": NAME, "model": predictor.lisa.provenance, "noise": args.noise, "seed": args.seed}
    summary |= summarise(trials) | {"seconds": round(time.monotonic() - started, 1)}
    print(printable(table(summary)))
    if args.json:
        write_json(args.json, summary)
        print(f"scores in {args.json}")
    if args.out:
        write_text_atomically(args.out / "trials.jsonl", "".join(json.dumps(row) + "\n" for row in rows(trials)))
        print(f"trials in {args.out / 'trials.jsonl'}")
        strips = film(trials, args.noise, predictor)
        if strips is not None:
            with convert_write_errors(args.out / "film.png"):
                Image.fromarray(strips).save(args.out / "film.png")
            print(f"film strips in {args.out / 'film.png'}")
    return 0
