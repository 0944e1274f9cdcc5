"""`lisa-ros inspect`: which words an ELISA's masks are near to, as a page with pictures."""

import argparse
import json
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable
from lisa_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros inspect`."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file (PNG, JPEG, ...)")
    parser.add_argument("--masks", type=Path, nargs="+", metavar="PNG", help="candidates, in place of proposed ones")
    parser.add_argument("--similarity", default="cosine", choices=("product", "softmax", "cosine"))
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="divides (default: %(default)s)")
    parser.add_argument("--words", type=positive, default=5, metavar="N", help="of each mask (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/inspect"), metavar="DIR",
        help="where index.html and words.json go (default: %(default)s)",
    )  # fmt: skip
    add_model_arguments(parser, default=None, required=True)


def run(args: argparse.Namespace) -> int:
    """Prints the nearest word of each mask, and writes the page."""
    from lisa_ros.images import read_image
    from lisa_ros.inference.elisa.engine import ElisaEngine
    from lisa_ros.inference.elisa.inspection import inspect_adapter

    image, folder = read_image(args.image), output_directory(args.out)
    lisa = load_lisa(args)
    if not isinstance(lisa, ElisaEngine):
        raise ConfigurationError(f"{args.model} is no ELISA; only its masks are words")
    frame = lisa.encode(image, None if args.masks is None else _read_masks(args.masks, image.shape[:2]))
    view = inspect_adapter(lisa, frame, similarity=args.similarity, temperature=args.temperature, count=args.words)
    _write(folder, args, image, frame, view, lisa.provenance)
    for number, near in enumerate(view.near, start=1):
        print(f"  mask {number:>3}  {', '.join(printable(word) or '(no text)' for word in near.words)}")
    print(f"  {len(view.near)} masks, {view.columns} rows of the vocabulary; pictures in {folder / 'index.html'}")
    return 0


def _read_masks(paths, size):
    from lisa_ros.geometry.proposals import Proposals
    from lisa_ros.images import read_image

    masks = [read_image(path).max(axis=2) > 0 for path in paths]
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != size:
            raise ConfigurationError(
                f"{path} is {mask.shape[1]}x{mask.shape[0]} pixels, the image {size[1]}x{size[0]}; make them equal"
            )
    return Proposals.from_masks(masks, *size)


def _write(folder: Path, args, image, frame, view, provenance: str):
    from lisa_ros.evaluation.files import write_text_atomically
    from lisa_ros.evaluation.html_report import HtmlReport
    from lisa_ros.model.elisa.embedding import resized_mask
    from lisa_ros.types import SEGMENTED, SegmentationResult, Target
    from lisa_ros.visualization import draw_overlay

    report = HtmlReport(f"Nearest words of {args.image.name}", f"{provenance}, similarity {args.similarity}")
    pictures, table, facts = [], [], []
    for number, (mask, near) in enumerate(zip(frame.proposals.masks, view.near, strict=True), start=1):
        words = [printable(word) for word in near.words]
        whole = resized_mask(mask, *image.shape[:2])
        target = Target(f"mask {number}: {words[0]}", SEGMENTED, whole)
        result = SegmentationResult("", "", (target,))
        pictures.append((f"mask {number}: {', '.join(words)}", draw_overlay(image, result)))
        table.append((str(number), *(f"{w} {v:.3f}" for w, v in zip(words, near.values, strict=True))))
        facts.append({"ids": near.ids, "words": near.words, "values": near.values})
    report.numbers({"masks": str(len(facts)), "rows of the vocabulary": str(view.columns)})
    report.table("Nearest words", ("mask", *(f"{rank}." for rank in range(1, args.words + 1))), table)
    numbers = [str(number) for number in range(1, len(facts) + 1)]
    between = zip(numbers, view.between.tolist(), strict=True)
    rows = [(number, *(f"{one:.2f}" for one in row)) for number, row in between]
    report.table("Masks with each other", ("mask", *numbers), rows)
    report.pictures("Masks", pictures)
    report.write(folder / "index.html")
    content = {"model": provenance, "similarity": args.similarity, "temperature": args.temperature, "masks": facts}
    write_text_atomically(folder / "words.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
