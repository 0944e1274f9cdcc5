"""`lisa-ros eval phrases`: scores on phrases of which some are not in the picture, all of a picture in one query."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable
from lisa_ros.commands.evaluate_sets import SPLITS, add_proposals, open_dataset, with_proposals
from lisa_ros.errors import ConfigurationError

NAME = "phrases"
_SETS = tuple(name for name in SPLITS if name != "reasonseg")
_MODES = ("teacher_forced", "decided", "generative")
_SHOWN = 5  # samples that are named


def add_parser(benchmarks) -> None:
    """The sub-command."""
    about = "scores on phrases that may be absent (gRefCOCO, Ref-ZOM): official and honest"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--set", default="grefcoco", choices=_SETS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="data sets in the layout of LISA's README")  # fmt: skip
    parser.add_argument("--split", help="default: val, else test")
    parser.add_argument("--mode", default="teacher_forced", choices=_MODES,
                        help="teacher_forced: official, the true answer is in the prompt; decided: the model decides "
                             "about each phrase; generative: it writes the answer (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-new-tokens", type=positive, metavar="N",
                        help="limit of a generated answer (default: as in a chat, 512)")  # fmt: skip
    add_proposals(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="first N pictures of the set only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file")
    add_model_arguments(parser, default=None, required=True)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints a table and writes the scores; exit status 1 where a sample could not be asked about."""
    from lisa_ros.evaluation.benchmarks.benchmark_report import plain_table
    from lisa_ros.evaluation.benchmarks.phrases import evaluate_phrases
    from lisa_ros.evaluation.benchmarks.proposal_oracle import ORACLE_HEADER, ORACLE_TITLE, ProposalOracle
    from lisa_ros.evaluation.files import write_json
    from lisa_ros.inference.batch import MAX_NEW_TOKENS

    if args.max_new_tokens and args.mode != "generative":
        raise ConfigurationError(f"--max-new-tokens is of no use in mode {args.mode}: no answer is generated")
    splits = SPLITS[args.set]
    split = args.split or next((one for one in splits if one.startswith("val")), splits[-1])
    if split not in splits:
        raise ConfigurationError(f"--split {split}: {args.set} has {', '.join(splits)}")
    if args.json:
        output_directory(args.json.parent)
    dataset, lisa = with_proposals(open_dataset(args.set, args.data, split), args.proposals), load_lisa(args)
    oracle, options = ProposalOracle(), {"limit": args.limit, "max_new_tokens": args.max_new_tokens or MAX_NEW_TOKENS}
    # Officially pixels that are said of nothing enter gRefCOCO's cIoU, and not Ref-ZOM's.
    options["counts_false_positives"] = args.set != "ref-zom"
    metrics, bad = evaluate_phrases(lisa, dataset, args.mode, progress=True, oracle=oracle, **options)
    scores = {"benchmark": NAME, "set": dataset.source, "mode": args.mode, "model": lisa.provenance}
    scores |= metrics.to_dict() | {"bad_samples": bad}
    print(printable(table(scores)))
    if oracle.scores:
        scores["proposal_oracle"] = oracle.scores
        print(f"\n{plain_table(ORACLE_TITLE, ORACLE_HEADER, oracle.lines())}")
    for key in list(bad)[:_SHOWN]:
        print(f"warning: {printable(key)}: {printable(bad[key])}")
    if args.json:
        write_json(args.json, scores)
        print(f"scores in {args.json}")
    return 1 if bad else 0


def table(scores: dict) -> str:
    """The scores for people to read."""
    lines = [
        f"{scores['model']} on {scores['set']}, {scores['mode']}: {scores['phrases']} phrases, {scores['absent']} of "
        f"them absent, {scores['unanswered']} not mentioned",
        "",
        f"{'':<24}{'gIoU':>8}{'cIoU':>8}{'N-acc':>8}{'T-acc':>8}",
    ]
    rows = [("honest", "honest"), ("masks whatever decided", "masks_whatever_decided")]
    if scores["mode"] == "teacher_forced":
        rows.insert(0, ("official", "official"))
    for name, key in rows:
        numbers = [scores[key].get(one) for one in ("giou", "ciou", "n_acc", "t_acc")]
        lines.append(f"{name:<24}" + "".join(f"{'-' if n is None else f'{n:.4f}':>8}" for n in numbers))
    return "\n".join(lines)
