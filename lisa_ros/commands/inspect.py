"""`lisa-ros inspect`: which words an ELISA's masks are near to, as a page with pictures."""

import argparse
import json
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable
from lisa_ros.errors import ConfigurationError

_LEAST_WIDTH = 320  # of a picture on the page, px
_WORDS_NOTE = (
    "A mask's row of the vocabulary, which the adapter makes of what the mask shows, against the rows of all words. "
    "A word that names the object means that the model reads the mask as that word."
)
_BETWEEN_NOTE = "By the same measure. Masks whose rows are alike are mixed up in answers."


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros inspect`."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file (PNG, JPEG, ...)")
    parser.add_argument("--masks", type=Path, nargs="+", metavar="PNG", help="candidates, in place of proposed ones")
    names = "what each mask shows, with its synonyms, - for a mask that is not counted: tells whose nearest word it is"
    parser.add_argument("--names", nargs="+", metavar="NAME[,NAME]", help=names)
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
    named = None
    if args.names:
        named = view.share_named(_check_names(args.names, len(view.near)))
    _write(folder, args, image, frame, view, lisa.provenance, named)
    for number, near in enumerate(view.near, start=1):
        print(f"  mask {number:>3}  {', '.join(map(printable, near.words))}")
    if named is not None:
        print(f"  nearest word is a name of what the mask shows: {100 * named:.0f}% of the masks with a name")
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


def _check_names(names, masks: int) -> list[tuple[str, ...]]:
    """Names of what each mask shows, as share_named takes them; "-" for a mask that is not counted."""
    if len(names) != masks:
        raise ConfigurationError(f"--names: {len(names)} for {masks} masks; give each mask its own, - for none")
    if set(names) == {"-"}:
        raise ConfigurationError("--names names no mask; give at least one a name")
    return [() if one == "-" else tuple(filter(None, map(str.strip, one.split(",")))) for one in names]


def _most_alike(between) -> str:
    """The two masks whose rows are most alike: an answer mixes these up first."""
    values = between.clone()
    values.fill_diagonal_(float("-inf"))
    first, second = divmod(int(values.argmax()), len(values))
    return f"{first + 1} and {second + 1} ({values[first, second]:.2f})"


def _write(folder: Path, args, image, frame, view, provenance: str, named: float | None):
    from lisa_ros.evaluation.files import write_text_atomically
    from lisa_ros.evaluation.html_report import HtmlReport, percent
    from lisa_ros.model.elisa.embedding import resized_mask
    from lisa_ros.types import SEGMENTED, SegmentationResult, Target
    from lisa_ros.visualization import draw_overlay

    report = HtmlReport(f"Nearest words of {args.image.name}", f"{provenance}, similarity {args.similarity}")
    pictures, table, facts = [], [], []
    shown = _enlarged(image)
    for number, (mask, near) in enumerate(zip(frame.proposals.masks, view.near, strict=True), start=1):
        words = [printable(word) for word in near.words]
        target = Target(str(number), SEGMENTED, resized_mask(mask, *shown.shape[:2]))
        pictures.append((f"{number}: {', '.join(words)}", draw_overlay(shown, SegmentationResult("", "", (target,)))))
        table.append((str(number), *(f"{w} {v:.3f}" for w, v in zip(words, near.values, strict=True))))
        facts.append({"ids": near.ids, "words": near.words, "values": near.values})
    numbers = {"masks": str(len(facts)), "rows of the vocabulary": str(view.columns)}
    if len(facts) > 1:
        numbers["masks most alike"] = _most_alike(view.between)
    if named is not None:
        numbers["nearest word is a name, %"] = percent(named)
    report.numbers(numbers)
    report.pictures("Masks and their nearest words", pictures, side_by_side=True)
    header = ("mask", *(f"{rank}." for rank in range(1, args.words + 1)))
    report.table(f"Nearest words, with their {args.similarity}", header, table, note=_WORDS_NOTE)
    numbers = [str(number) for number in range(1, len(facts) + 1)]
    between = zip(numbers, view.between.tolist(), strict=True)
    rows = [(number, *(f"{one:.2f}" for one in row)) for number, row in between]
    report.table("Masks with each other", ("mask", *numbers), rows, note=_BETWEEN_NOTE)
    report.write(folder / "index.html")
    content = {"model": provenance, "similarity": args.similarity, "temperature": args.temperature, "masks": facts}
    content |= {} if named is None else {"share_named": named}
    write_text_atomically(folder / "words.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _enlarged(image):
    """A small picture at least 320 px wide, so that its masks can be seen."""
    import cv2

    factor = -(-_LEAST_WIDTH // image.shape[1])
    return image if factor == 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
