"""`lisa-ros eval scannet`: many scans, in this process or over the machines of a Ray cluster."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, output_directory, positive, printable
from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.conversation import MAX_NEW_TOKENS
from lisa_ros.scannet.truth import BOUNDARY, WIDEST_BOUNDARY

NAME = "scannet"
_NODE_MODE = {"generative": "chat", "teacher_forced": "mask"}


def add_parser(benchmarks) -> None:
    """The sub-command."""
    about = "many ScanNet scans, without ROS; in this process or spread over machines with Ray"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--scenes", type=Path, required=True, metavar="FILE",
                        help="text file: a .sens file or its folder on each line, relative to the file")  # fmt: skip
    parser.add_argument("--queries", type=Path, metavar="FILE",
                        help="queries of all scenes (default: queries.jsonl in each scan's folder)")  # fmt: skip
    parser.add_argument("--labels", type=Path, metavar="TSV", help="ScanNet's label table (default: near each scan)")
    parser.add_argument("--boundary", type=int, default=BOUNDARY, metavar="PX",
                        help="pixels around the truth's edges that are not scored (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mode", choices=tuple(_NODE_MODE), default="generative",
                        help="generative: what a robot gets; teacher_forced: the mask of a given answer, as in the "
                             "paper's validation and in the node's mode mask (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-new-tokens", type=positive, default=MAX_NEW_TOKENS, metavar="N",
                        help="limit of a generated answer (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/eval/scannet"), metavar="DIR",
                        help="where rows, scores and report go (default: %(default)s)")  # fmt: skip
    parser.add_argument("--ray", metavar="ADDRESS",
                        help="spread the scenes over a Ray cluster: HOST:PORT, auto for the one this machine belongs "
                             "to, local for one on this machine alone")  # fmt: skip
    parser.add_argument("--workers", type=positive, metavar="N",
                        help="with --ray: processes (default: one a GPU, with --device cpu one a core)")  # fmt: skip
    add_model_arguments(parser, unmerged=False)


@dataclass(frozen=True)
class ModelLoader:
    """Loads the model wherever it is called: in this process, or on another machine."""

    arguments: dict

    def __call__(self) -> tuple[object, str]:
        """The `Lisa` and its digest. Raises CheckpointError, ConfigurationError, MemoryBudgetError."""
        from lisa_ros import Lisa
        from lisa_ros.evaluation.predictors import model_digest

        lisa = Lisa.from_pretrained(**self.arguments)
        return lisa, model_digest(lisa)


def run(args: argparse.Namespace) -> int:
    """Evaluates. Exit status 1 where a scene could not be evaluated."""
    from lisa_ros.evaluation.scannet.evaluate_scenes import run_scenes

    if args.workers and args.ray is None:
        raise ConfigurationError("--workers is of no use without --ray")
    if args.ray is not None and args.device not in ("auto", "cpu", "cuda"):
        raise ConfigurationError(f"--device {args.device} with --ray: choose auto, cpu or cuda; Ray picks the GPU")
    options = _options(args)
    output_directory(args.out)
    summary = run_scenes(options, _write)
    _write("\n" + table(summary))
    _write(f"report: {(args.out / 'report.html').resolve().as_uri()}")
    return 1 if summary["failed"] else 0


def _options(args: argparse.Namespace):
    from lisa_ros.evaluation.scannet.evaluate_scenes import ScannetOptions
    from lisa_ros.evaluation.scannet.scene import GenerationOptions, read_scenes

    if not 0 <= args.boundary <= WIDEST_BOUNDARY:
        raise ConfigurationError(f"--boundary {args.boundary} must be within 0..{WIDEST_BOUNDARY} px")
    queries, labels = (path.absolute() if path else None for path in (args.queries, args.labels))
    asking = GenerationOptions(_NODE_MODE[args.mode], args.max_new_tokens)
    model = {
        "source": _place(args.model), "vision_tower": _place(args.vision_tower), "device": args.device,
        "precision": args.precision, "conv_type": args.conv_type, "threads": args.threads,
        "compile": args.compile,
    }  # fmt: skip
    model |= {"style": args.style} if args.style else {}  # not named, it makes no difference to earlier runs
    asked = {"queries": queries and str(queries), "boundary": args.boundary, "mode": args.mode,
             "max_new_tokens": args.max_new_tokens}  # fmt: skip
    machine = ("device", "threads", "compile")  # what makes no difference to the answers
    return ScannetOptions(
        scenes=read_scenes(args.scenes, queries, labels, args.boundary),
        out=args.out,
        load=ModelLoader(model),
        asking=asking,
        arguments=asked | {name: value for name, value in model.items() if name not in machine},
        ray=args.ray,
        workers=args.workers,
        device=args.device,
    )


def _place(name: str | None) -> str | None:
    """Workers have another working directory: a path is made absolute, a name is left as it is."""
    return str(Path(name).absolute()) if name and Path(name).expanduser().is_dir() else name


def table(summary: dict) -> str:
    """The scores for people to read, in percent."""
    from lisa_ros.evaluation.html_report import percent

    lines = [f"{'':<24}{'n':>6}{'gIoU':>8}{'cIoU':>8}{'Pr@0.5':>8}{'absent refused':>16}"]
    scores = summary["scores"]
    for name, part in {**summary["scenes"], **scores["by_kind"], "all": scores, **summary["baselines"]}.items():
        shares = "".join(f"{percent(share):>8}" for share in (part["giou"], part["ciou"], part["precision_at"]["0.5"]))
        lines.append(f"{name:<24}{part['n']:>6}{shares}{percent(part['n_acc']):>16}")
    model = summary["model"] or "no model was asked"
    lines += ["", f"{model}, {len(summary['scenes'])} scenes, {summary['seconds']:.0f} s in all"]
    lines += [
        f"warning: {scene}: {len(frames)} damaged frames were not asked about, as {next(iter(frames))}: "
        f"{next(iter(frames.values()))}"
        for scene, frames in summary["damaged"].items()
    ]
    lines += [f"FAILED: {scene}: {why}" for scene, why in summary["failed"].items()]
    return "\n".join(lines)


def _write(text: str) -> None:
    print(printable(text), flush=True)
