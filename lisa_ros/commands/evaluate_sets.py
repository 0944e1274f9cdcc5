"""`lisa-ros eval reasonseg|refcoco|...`: scores on published data sets, with a report."""

import argparse
import re
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable
from lisa_ros.errors import ConfigurationError

SPLITS = {
    "reasonseg": ("train", "val", "test"),
    "refcoco": ("val", "testA", "testB"),
    "refcoco+": ("val", "testA", "testB"),
    "refcocog": ("val", "test"),
    "grefcoco": ("val", "testA", "testB"),
    "ref-zom": ("test",),
    "R-refcoco": ("val", "testA", "testB"),
    "R-refcoco+": ("val", "testA", "testB"),
    "R-refcocog": ("val", "test"),
    "fprefcoco": ("val", "test"),
    "fprefcoco+": ("val", "test"),
    "fprefcocog": ("val", "test"),
    "llmseg40k": ("train", "validation", "test"),
}
QUALITY_FILE = "quality_calibration.json"
_SHOWN = 5  # samples that are named
_NO_TOKENS = "--max-new-tokens is of no use in mode teacher_forced: no answer is generated"


def add_parsers(benchmarks) -> None:
    """A sub-command for each data set."""
    for name, splits in SPLITS.items():
        about = f"scores on {name}, with a report"
        parser = benchmarks.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="data sets in the layout of LISA's README"
        )
        parser.add_argument(
            "--split",
            default=next((one for one in splits if one.startswith("val")), splits[-1]),
            choices=splits,
            help="default: %(default)s",
        )
        if name == "reasonseg":
            parser.add_argument(
                "--false-premises", action="store_true", help="also the files' questions about what is not there"
            )
        parser.add_argument("--limit", type=positive, metavar="N", help="first N pictures of the set only")
        add_proposals(parser)
        parser.add_argument("--out", type=Path, metavar="DIR", help="default: out/eval/SET-SPLIT-MODE-MODEL")
        add_run_arguments(parser, mode=None)
        add_model_arguments(parser, default=None, required=True)


def add_proposals(parser: argparse.ArgumentParser) -> None:
    """--proposals."""
    parser.add_argument(
        "--proposals", type=Path, nargs="+", metavar="FILE",
        help="masks.json, for a system that chooses among proposals (default: Segment Anything makes them)",
    )  # fmt: skip


def with_proposals(dataset, files):
    """The data set with the proposals in these files; as it is without files. Raises DatasetError."""
    if not files:
        return dataset
    from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals

    return WithProposals(dataset, StoredProposals(*files))


def add_run_arguments(parser: argparse.ArgumentParser, mode: str | None) -> None:
    """--mode (with this default; None: by the model), --max-new-tokens, --shard, --calibrate."""
    parser.add_argument(
        "--mode",
        default=mode,
        choices=("teacher_forced", "generative"),
        help="teacher_forced: as the paper's validation; generative: what a robot gets (default: "
        + (mode or "teacher_forced; generative for an ELISA, whose masks are words of its answers")
        + ")",
    )
    parser.add_argument(
        "--max-new-tokens", type=positive, metavar="N", help="limit of a generated answer (default: as in a chat, 512)"
    )
    parser.add_argument(
        "--shard", type=shard, default="0/1", metavar="I/N",
        help="ask about every N-th picture from the I-th on; the last process to end writes the report of all",
    )  # fmt: skip
    parser.add_argument(
        "--calibrate", type=Path, metavar="FILE",
        help="fit the quality of masks to half of the pictures, test it on the rest, and write it to this file "
        f"({QUALITY_FILE} in the checkpoint's folder is found by itself)",
    )  # fmt: skip


def shard(word: str):
    """argparse type: "1/4" is the second of four parts."""
    from lisa_ros.evaluation.benchmarks.evaluate_dataset import Shard

    index, _, count = word.partition("/")
    try:
        return Shard(int(index), int(count))
    except (ValueError, ConfigurationError) as error:
        raise argparse.ArgumentTypeError(f"{word!r}: {error}") from error


def run(args: argparse.Namespace) -> int:
    """Evaluates what has no rows yet, then writes summary.json and report.html of all rows in --out."""
    from lisa_ros.evaluation.benchmarks.premises import premise_report

    false_premises = getattr(args, "false_premises", False)
    dataset = open_dataset(args.benchmark, args.data, args.split, false_premises)
    dataset = with_proposals(dataset, args.proposals)
    predictor = open_predictor(args)
    name = re.sub(r"[^\w.-]+", "-", args.model).strip("-.")
    split = f"{args.split}-premises" if false_premises else args.split
    directory = args.out or Path("out/eval") / f"{args.benchmark}-{split}-{predictor.mode}-{name}"
    extra = premise_report if predictor.mode == "generative" else None
    summary = run_benchmark(args, dataset, predictor, directory, limit=args.limit, extra=extra)
    return 1 if summary["bad_samples"] else 0


def open_predictor(args: argparse.Namespace):
    """The model that the arguments choose, asked in the way they choose."""
    from lisa_ros.evaluation.predictors import Generative, TeacherForced

    if args.max_new_tokens and args.mode == "teacher_forced":
        raise ConfigurationError(_NO_TOKENS)
    lisa = load_lisa(args)
    if (args.mode or preferred_mode(lisa)) == "generative":
        return Generative(lisa, *([args.max_new_tokens] if args.max_new_tokens else []))
    if args.max_new_tokens:
        raise ConfigurationError(_NO_TOKENS)
    return TeacherForced(lisa)


def preferred_mode(lisa) -> str:
    """The mode of published sets: as the paper's validation, where the system has such an answer."""
    from lisa_ros.inference.elisa.engine import ElisaEngine

    return "generative" if isinstance(lisa, ElisaEngine) else "teacher_forced"


def run_benchmark(
    args: argparse.Namespace, dataset, predictor, directory: Path, *, limit: int | None = None, extra=None
) -> dict:
    """Asks, writes the results into `directory`, prints them, and returns the summary.

    extra: gives further keys of the summary and further tables of the report, from the rows.
    """
    from lisa_ros.evaluation.benchmarks import calibration
    from lisa_ros.evaluation.benchmarks.benchmark_report import plain_table, text_table, warnings, write_benchmark
    from lisa_ros.evaluation.benchmarks.candidate_choices import choice_report
    from lisa_ros.evaluation.benchmarks.evaluate_dataset import SampleDigests, evaluate, read_current
    from lisa_ros.evaluation.benchmarks.scores import already_seen, summarise
    from lisa_ros.evaluation.files import exclusive_lock

    output_directory(directory)
    seen = already_seen(predictor.lisa.provenance, args.benchmark, args.split)
    if seen:
        print(f"warning: {seen}", flush=True)
    digests = SampleDigests(dataset)
    done = evaluate(
        dataset, predictor, args.benchmark, directory, shard=args.shard, limit=limit, progress=True,
        first_wording=args.benchmark == "reasonseg",  # as LISA's validation
        digests=digests,
    )  # fmt: skip
    if done.changed:
        named = ", ".join(done.changed[:_SHOWN]) + (", ..." if len(done.changed) > _SHOWN else "")
        print(f"{len(done.changed)} samples have changed since they were scored and count no more: {printable(named)}")
    with exclusive_lock(directory):  # the last process sees all rows
        log = read_current(directory, dataset, digests)
        more, tables = extra(log.rows) if extra else ({}, ())
        beside, beside_tables = choice_report(log.rows)
        if (told := calibration.told_reliability(log.rows)) and not args.calibrate:
            beside |= {"quality": told}
        summary = summarise(log) | more | beside
        write_benchmark(directory, summary, log.rows, dataset, predictor, [*tables, *beside_tables])
    print(printable(text_table(summary)))
    for title, header, lines in beside_tables:
        print(f"\n{plain_table(title, header, lines)}")
    for warning in warnings(summary):
        print(f"warning: {printable(warning)}")
    print(f"report in {directory / 'report.html'}, scores in {directory / 'summary.json'}")
    if args.calibrate:
        _calibrate(args.calibrate, log, predictor, directory)
    elif told:
        print(calibration.summary_line(told))
    return summary


def _calibrate(path: Path, log, predictor, directory: Path) -> None:
    from lisa_ros.evaluation.benchmarks.calibration import calibrate, draw_reliability, summary_line
    from lisa_ros.evaluation.files import convert_write_errors

    network, identity = predictor.lisa.network, log.identity
    found = calibrate(log.rows, network, model=identity.model, source=identity.source, mode=identity.mode)
    output_directory(path.parent)
    picture = directory / "calibration.png"
    with convert_write_errors(path):
        found.write(path)
        draw_reliability(found.held_out, picture, f"{identity.model}, {identity.source}")
    print(f"{summary_line(found.held_out)}, on pictures that it was not fitted to")
    print(f"calibration in {path}, picture in {picture}")


def open_dataset(name: str, root: Path, split: str, false_premises: bool = False):
    """The data set of a name; of ReasonSeg, with its false premises or without. Raises DatasetError."""
    if name == "llmseg40k":
        from lisa_ros.datasets.llmseg40k import LlmSeg40kDataset

        return LlmSeg40kDataset(root, split)
    if name == "reasonseg":
        from lisa_ros.datasets.reasonseg import ReasonSegDataset

        return ReasonSegDataset(root, split, false_premises=false_premises)
    from lisa_ros.datasets.refer import ReferDataset

    return ReferDataset(root, name, split)
