"""`lisa-ros ask`: one question about one image file, or several things to look for."""

import argparse
import json
import math
import os
import re
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable
from lisa_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros ask`."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file (PNG, JPEG, ...)")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("question", nargs="?", metavar="QUESTION", help='in words: "something to cut the bread with"')
    asked.add_argument(
        "--phrase",
        action="append",
        dest="phrases",
        metavar="NAME",
        help="in place of a question, as often as there are things: tells of each whether it is there, with its mask",
    )
    parser.add_argument("--mask-only", action="store_true", help="one mask in a single pass, without an answer")
    parser.add_argument(
        "--min-component-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="drop parts of a mask smaller than this share of its largest part, and fill holes smaller than that; "
        "0: none (default)",
    )
    parser.add_argument("--max-new-tokens", type=positive, metavar="N", help="longest answer, in tokens")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/ask"),
        metavar="DIR",
        help="where overlay.png, mask*.png, answer.txt and answer.json go (default: %(default)s)",
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Asks, prints the answer as it comes, and writes the pictures."""
    from lisa_ros.geometry.options import MaskOptions
    from lisa_ros.geometry.repair import repair_result
    from lisa_ros.images import read_image

    image = read_image(args.image)
    folder = output_directory(args.out)
    if args.phrases and args.mask_only:
        raise ConfigurationError("--mask-only is for one question; phrases give masks without it, leave it out")
    options = MaskOptions(min_component_share=args.min_component_share)
    lisa = load_lisa(args)
    result = repair_result(_asked(lisa, lisa.encode(image), args), options)
    try:
        report = _write(folder, image, result, lisa.provenance)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error}") from error
    _print_summary(result, report, folder)
    return 0


def _as_utf8(word: str) -> str:
    """A word of the command line under a locale that lacks its letters (LC_ALL=C), which terminals write as UTF-8."""
    try:
        return os.fsencode(word).decode("utf-8")
    except UnicodeError:
        return word


def _asked(lisa, frame, args: argparse.Namespace):
    if args.phrases:
        return lisa.segment_phrases(frame, list(map(_as_utf8, args.phrases)), max_new_tokens=args.max_new_tokens)
    question = _as_utf8(args.question)
    return lisa.segment(frame, question) if args.mask_only else _answered(lisa, frame, question, args)


def _answered(lisa, frame, question: str, args: argparse.Namespace):
    from lisa_ros.types import Finished, TextDelta

    for event in lisa.stream(frame, question, max_new_tokens=args.max_new_tokens):
        if isinstance(event, TextDelta):
            print(printable(event.text), end="", flush=True)
        elif isinstance(event, Finished):
            print()
            return event.result
    raise RuntimeError("the stream ended without a result")


def _write(folder: Path, image, result, model: str) -> dict:
    """Writes the files; returns what answer.json holds."""
    from lisa_ros.images import write_image, write_mask
    from lisa_ros.types import SEGMENTED
    from lisa_ros.visualization import draw_overlay

    _remove_masks(folder)
    write_image(folder / "overlay.png", draw_overlay(image, result))
    targets = []
    for number, target in enumerate(result.targets, start=1):
        facts = {"phrase": target.phrase, "kind": target.kind, "area": int(target.mask.sum())}
        if not math.isnan(target.probability):
            facts["probability"] = round(target.probability, 4)
        if target.mask.any():
            write_mask(folder / f"mask_{number}.png", target.mask)
            facts |= {"mask": f"mask_{number}.png", "mean_probability": round(target.mean_probability, 4)}
            if target.features:
                facts |= {name: round(value, 4) for name, value in vars(target.features).items()}
            facts["quality"] = None if math.isnan(target.quality) else round(target.quality, 4)
        if target.candidate is not None:
            facts["candidate"] = {"index": target.candidate.index, "score": round(target.candidate.score, 4)}
        if target.correction:
            facts["correction"] = target.correction
        if target.alternative and target.alternative.mask.any():
            write_mask(folder / f"mask_{number}_alternative.png", target.alternative.mask)
            facts["alternative"] = f"mask_{number}_alternative.png"
        targets.append(facts)
    is_any_there = any(target.kind == SEGMENTED for target in result.targets)
    if is_any_there:
        write_mask(folder / "mask.png", result.union_mask)
    stages = {stage: value for stage, value in result.seconds.items() if stage != "total"}
    seconds = stages | {"total": sum(stages.values())}  # of the one image and its one question
    report = {
        "query": result.query,
        "answer": result.answer,
        "targets": targets,
        "union": "mask.png" if is_any_there else None,
        "truncated": result.truncated,
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        "model": model,
    }
    (folder / "answer.txt").write_text(result.answer + "\n", encoding="utf-8")
    (folder / "answer.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _remove_masks(folder: Path):
    """Those of an earlier question would pass for this one's where it has fewer or none."""
    for path in folder.glob("mask*.png"):
        if re.fullmatch(r"mask(_\d+(_alternative)?)?\.png", path.name):
            path.unlink()


def _print_summary(result, report: dict, folder: Path):
    for target in report["targets"]:
        nothing = "not in the image" if target["kind"] == "absent" else "named, but its mask is empty"
        if "correction" in target:
            nothing += f"; the answer offers {printable(target['correction'])}"
        where = folder / target["mask"] if "mask" in target else nothing
        trust = f"  quality {target['quality']:.2f}" if target.get("quality") is not None else ""
        print(f"  {printable(target['phrase']) or '(no words)':<30} {target['area']:>8} px{trust}  {where}")
    if not result.targets:
        print("  nothing segmented")
    if result.truncated:
        print("  the answer was cut at its token limit; --max-new-tokens N allows more")
    seconds = report["seconds"]
    image = seconds.get("encode", 0.0)
    print(f"  {seconds['total']:.2f} s, {image:.2f} of them for the image; pictures and answer in {folder}")
