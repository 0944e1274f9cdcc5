"""`lisa-ros eval`: scores of a model."""

import argparse
from pathlib import Path

from lisa_ros.commands import (
    evaluate_bag,
    evaluate_follow,
    evaluate_geometry,
    evaluate_grasp,
    evaluate_phrases,
    evaluate_scannet,
    evaluate_sets,
)
from lisa_ros.commands.common import add_model_arguments, output_directory, positive
from lisa_ros.errors import ConfigurationError

_WORDS = "", "n", "right objects", "word for word"


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros eval`."""
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    about = "simulated tabletop scenes that the packaged model was not trained on"
    tabletop = benchmarks.add_parser("tabletop", help=about, description=about[0].upper() + about[1:] + ".")
    tabletop.add_argument(
        "--split",
        default="heldout",
        choices=("train", "val", "heldout"),
        help="val: new scenes; heldout: new scenes and new wordings (default: %(default)s)",
    )
    tabletop.add_argument("--count", type=positive, default=200, metavar="N", help="scenes (default: %(default)s)")
    tabletop.add_argument(
        "--queries", type=positive, default=8, metavar="N", help="questions a scene (default: %(default)s)"
    )
    tabletop.add_argument("--variant", default="default", metavar="V", help="kind of scenes (default: %(default)s)")
    tabletop.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file")
    tabletop.add_argument("--out", type=Path, metavar="DIR", help="where rows, scores and report go")
    evaluate_sets.add_run_arguments(tabletop, mode="generative")
    add_model_arguments(tabletop)
    evaluate_bag.add_parser(benchmarks)
    evaluate_follow.add_parser(benchmarks)
    evaluate_geometry.add_parser(benchmarks)
    evaluate_grasp.add_parser(benchmarks)
    evaluate_phrases.add_parser(benchmarks)
    evaluate_scannet.add_parser(benchmarks)
    evaluate_sets.add_parsers(benchmarks)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints a table and writes the scores."""
    if args.benchmark == evaluate_bag.NAME:
        return evaluate_bag.run(args)
    if args.benchmark == evaluate_follow.NAME:
        return evaluate_follow.run(args)
    if args.benchmark == evaluate_geometry.NAME:
        return evaluate_geometry.run(args)
    if args.benchmark == evaluate_grasp.NAME:
        return evaluate_grasp.run(args)
    if args.benchmark == evaluate_phrases.NAME:
        return evaluate_phrases.run(args)
    if args.benchmark == evaluate_scannet.NAME:
        return evaluate_scannet.run(args)
    return run_tabletop(args) if args.benchmark == "tabletop" else evaluate_sets.run(args)


def run_tabletop(args: argparse.Namespace) -> int:
    """Evaluates on simulated scenes."""
    from lisa_ros.evaluation.benchmarks.benchmark_report import plain_table
    from lisa_ros.evaluation.benchmarks.tabletop import evaluate_tabletop
    from lisa_ros.evaluation.files import write_json

    if args.shard.count > 1 and not args.out:
        raise ConfigurationError("--shard needs --out DIR, where the parts come together")
    if args.calibrate and not args.out:
        raise ConfigurationError("--calibrate needs --out DIR, where the judged masks are kept")
    if args.json:
        output_directory(args.json.parent)
    predictor = evaluate_sets.open_predictor(args)
    if args.out:
        scores = _with_report(args, predictor)
    else:
        scores = evaluate_tabletop(
            predictor, args.split, args.count, queries=args.queries, variant=args.variant, progress=True
        )
    bad, tables = scores.pop("bad_samples", {}), scores.pop("tables", ())
    scores = {"benchmark": args.benchmark, "model": predictor.lisa.provenance, "mode": args.mode} | scores
    print(table(scores))
    for title, header, lines in tables:
        print(f"\n{plain_table(title, header, lines)}")
    if args.json:
        write_json(args.json, scores)
        print(f"scores in {args.json}")
    return 1 if bad else 0


def _with_report(args: argparse.Namespace, predictor) -> dict:
    from lisa_ros.datasets.tabletop import TabletopDataset
    from lisa_ros.evaluation.benchmarks.mixed import phrase_scores
    from lisa_ros.evaluation.benchmarks.tabletop import FURTHER, tabletop_scores
    from lisa_ros.evaluation.html_report import percent

    def extra(rows) -> tuple[dict, list]:
        scores = tabletop_scores(rows, generates)
        words = [
            (kind, str(row["n"]), percent(row["answer_accuracy"]), percent(row["exact_answers"]))
            for kind, row in scores["by_kind"].items()
        ]
        return {"tabletop": scores}, [("Words of the answers, in percent", _WORDS, words)]

    generates = args.mode == "generative"
    dataset = TabletopDataset(args.split, args.count, args.queries, args.variant, FURTHER if generates else 0)
    summary = evaluate_sets.run_benchmark(args, dataset, predictor, args.out, extra=extra)
    known = {"split": args.split, "variant": args.variant, "bad_samples": summary["bad_samples"]}
    known |= {name: summary[name] for name in ("proposal_oracle", "candidates") if name in summary}
    phrases = phrase_scores(predictor.lisa, dataset, progress=True) if generates else {}
    return known | summary["tabletop"] | phrases


def table(scores: dict) -> str:
    """The scores for people to read."""
    lines = [
        f"{scores['model']} on tabletop/{scores['split']}/{scores['variant']}, {scores['mode']}: "
        f"{scores['n']} questions about {scores['scenes']} scenes",
        "",
        f"{'':<14}{'n':>6}{'gIoU':>8}{'refused':>9}{'answers':>9}{'exact':>8}",
    ]
    for kind, row in scores["by_kind"].items():
        refused = row["refusal"] if kind == "absent" else row["false_refusal"]  # of other kinds: of what is there
        numbers = row.get("giou"), refused, row["answer_accuracy"], row["exact_answers"]
        lines.append(_row(kind, row["n"], numbers))
    present = scores["giou_present"], scores["false_refusal"], scores["answer_accuracy"], None
    lines += [_row("all present", scores["n_present"], present), ""]
    lines.append(
        f"cIoU {_share(scores['ciou_present'])} · several targets gIoU {_share(scores['multi_target_giou'])} · "
        f"absent refused {_share(scores['refusal'])} · exact answers {_share(scores['exact_answers'])}"
    )
    if scores["mixed_n"]:
        phrases = scores.get("mixed_phrases_n_acc"), scores.get("mixed_phrases_t_acc")
        lines.append(
            f"mixed questions, by phrase: absent refused {_share(scores['mixed_n_acc'])} (asked one by one "
            f"{_share(phrases[0])}) · present answered {_share(scores['mixed_t_acc'])} ({_share(phrases[1])}) · "
            f"corrections that name what is there {_share(scores['correction'])}"
        )
    return "\n".join(lines)


def _row(name: str, count: int, numbers) -> str:
    return f"{name:<14}{count:>6}" + "".join(f"{_share(n):>{w}}" for n, w in zip(numbers, (8, 9, 9, 8), strict=True))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
