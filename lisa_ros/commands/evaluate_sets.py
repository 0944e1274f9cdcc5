"""`lisa-ros eval reasonseg|refcoco|...`: scores on published data sets, with a report."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive
from lisa_ros.errors import ConfigurationError

SPLITS = {
    "reasonseg": ("train", "val", "test"),
    "refcoco": ("val", "testA", "testB"),
    "refcoco+": ("val", "testA", "testB"),
    "refcocog": ("val", "test"),
    "grefcoco": ("val", "testA", "testB"),
}


def add_parsers(benchmarks) -> None:
    """A sub-command for each data set."""
    for name, splits in SPLITS.items():
        about = f"scores on {name}, with a report"
        parser = benchmarks.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="data sets in the layout of LISA's README"
        )
        parser.add_argument("--split", default="val", choices=splits, help="default: %(default)s")
        parser.add_argument(
            "--mode",
            default="teacher_forced",
            choices=("teacher_forced", "generative"),
            help="teacher_forced: as the paper's validation; generative: what a robot gets (default: %(default)s)",
        )
        parser.add_argument("--out", type=Path, metavar="DIR", help="default: out/eval/SET-SPLIT-MODE")
        parser.add_argument("--limit", type=positive, metavar="N", help="first N pictures of the set only")
        parser.add_argument(
            "--shard", type=shard, default="0/1", metavar="I/N",
            help="score every N-th picture from the I-th on; the last process to end writes the report of all",
        )  # fmt: skip
        add_model_arguments(parser, default=None)


def shard(word: str):
    """argparse type: "1/4" is the second of four parts."""
    from lisa_ros.evaluation.run import Shard

    index, _, count = word.partition("/")
    try:
        return Shard(int(index), int(count))
    except (ValueError, ConfigurationError) as error:
        raise argparse.ArgumentTypeError(f"{word!r}: {error}") from error


def run(args: argparse.Namespace) -> int:
    """Evaluates what has no rows yet, then writes summary.json and report.html of all rows in --out."""
    from lisa_ros.evaluation.benchmark_report import write_benchmark
    from lisa_ros.evaluation.predictors import PREDICTORS
    from lisa_ros.evaluation.rows import read_all
    from lisa_ros.evaluation.run import evaluate
    from lisa_ros.evaluation.summary import already_seen, summarise

    if args.model is None:
        raise ConfigurationError("--model is missing: name the checkpoint to evaluate")
    directory = output_directory(args.out or Path("out/eval") / f"{args.benchmark}-{args.split}-{args.mode}")
    dataset = open_dataset(args.benchmark, args.data, args.split)
    predictor = PREDICTORS[args.mode](load_lisa(args))
    seen = already_seen(predictor.lisa.provenance, args.benchmark, args.split)
    if seen:
        print(f"warning: {seen}")
    outcome = evaluate(
        dataset,
        predictor,
        args.benchmark,
        directory,
        shard=args.shard,
        first_wording=args.benchmark == "reasonseg",  # as LISA's validation
        limit=args.limit,
        progress=True,
    )
    for key, reason in outcome.bad.items():
        print(f"not scored: {key}: {reason}")
    identity, rows = read_all(directory)
    summary = summarise(identity, rows, outcome.bad)
    write_benchmark(directory, summary, rows, dataset, predictor)
    print(table(summary))
    print(f"report in {directory / 'report.html'}, scores in {directory / 'summary.json'}")
    return 0


def open_dataset(name: str, root: Path, split: str):
    """The data set of a name. Raises DatasetError."""
    if name == "reasonseg":
        from lisa_ros.datasets.reasonseg import ReasonSegDataset

        return ReasonSegDataset(root, split)
    from lisa_ros.datasets.refer import ReferDataset

    return ReferDataset(root, name, split)


def table(summary: dict) -> str:
    """The scores for people to read, in percent."""
    from lisa_ros.evaluation.benchmark_report import HEADER, score_rows, with_interval

    overall = summary["overall"]
    rows = [HEADER, *score_rows(summary)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [f"{summary['model']} on {summary['source']}, {summary['mode']}", ""]
    for row in rows:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells))
    lines += [
        "",
        f"gIoU {with_interval(overall['giou'], overall['giou_ci'])}, "
        f"cIoU {with_interval(overall['ciou'], overall['ciou_ci'])}: 95% bootstrap intervals over pictures",
    ]
    return "\n".join(lines)
