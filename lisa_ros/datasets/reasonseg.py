"""ReasonSeg: pictures with implicit questions, one mask each; for some an explanation, or questions that mislead."""

from pathlib import Path

import numpy as np

from lisa_ros.datasets.files import PICTURES, REMEDY, content_digest, format_of, read_json, whole_text
from lisa_ros.datasets.labelme import shape_mask
from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image
from lisa_ros.types import FALSE_PREMISE, LazyTurns, Sample, TruthTarget, Turn

SPLITS = ("train", "val", "test")
_TARGET, _IGNORE = 1, 255


class ReasonSegDataset:
    """One split, `root`/reason_seg/ReasonSeg/SPLIT, sorted by file name.

    A sample is a picture (one of PICTURES, in small or capital letters) with the JSON file of its name; one that lacks
    either cannot be read, and says so. The turns of a sample are all wordings in the file; they ask for the same mask.
    `is_sentence` distinguishes whole questions from phrases. `Sample.ignore` marks undecided pixels.

    Args:
        root: Has reason_seg/ReasonSeg.
        split: One of SPLITS.
        explanatory: An explanation of explanatory/train.json follows `[SEG].` in the answers, where there is one.
        false_premises: Behind those wordings come the questions of the file's `false_premise_QA`, as SESAME published
            them, if it has any: turns of kind "false_premise" with one absent target and their answer in words.

    Raises:
        DatasetError: From the constructor, items and turns, naming the file.
        InvalidImageError: From items, naming the picture.
    """

    def __init__(self, root: Path, split: str, explanatory: bool = False, false_premises: bool = False) -> None:
        if split not in SPLITS:
            raise DatasetError(f"ReasonSeg has no split {split!r}; there are {', '.join(SPLITS)}")
        base = Path(root) / "reason_seg" / "ReasonSeg"
        self.pairs = _pairs(base / split)
        self.false_premises = false_premises
        self.source = f"reason_seg+false_premises/{split}" if false_premises else f"reason_seg/{split}"
        self.explanations = read_explanations(base / "explanatory" / "train.json") if explanatory else {}

    def __len__(self) -> int:
        return len(self.pairs)

    def key(self, index: int) -> str:
        """Name of the picture without its ending."""
        return self.pairs[index][0].stem

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample is read from."""
        return self.pairs[index]

    def digest(self, index: int) -> str:
        """Changes with whatever the sample is made of. Raises DatasetError."""
        return content_digest(self.files(index), self.explanations.get(self.pairs[index][0].name))

    def __getitem__(self, index: int) -> Sample:
        picture, annotation = self.pairs[index]
        if not picture.exists():
            raise DatasetError(f"there is no picture of {annotation}: no {picture.stem} with {', '.join(PICTURES)}")
        image = read_image(picture)
        content = _read(annotation)
        texts, is_sentence, labels = _parsed(content, annotation, *image.shape[:2])
        mask = labels == _TARGET
        answer = f"[SEG]. {self.explanations.get(picture.name, '')}".strip()
        kind = "reasoning" if is_sentence else "phrase"
        parts = _parts(content["shapes"], mask)
        targets = [(TruthTarget(text, mask, parts=parts),) for text in texts]
        turns = tuple(Turn(text, own, answer, kind, is_sentence) for text, own in zip(texts, targets, strict=True))
        if self.false_premises:
            turns = _with_false_premises(turns, content, annotation)
        return Sample(image, turns, self.source, labels == _IGNORE)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Picture and annotation of each name in a folder, whether or not both are there; sorted by the picture's name."""
    files = sorted(path for path in folder.glob("*") if not path.name.startswith("."))  # as macOS leaves behind
    pictures: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() in PICTURES and pictures.setdefault(path.stem, path) != path:
            raise DatasetError(f"{folder} has two pictures of one name, {pictures[path.stem].name} and {path.name}")
    annotations = {path.stem: path for path in files if path.suffix.lower() == ".json"}
    if not pictures:
        raise DatasetError(f"{folder} has no pictures ({', '.join(PICTURES)}); {REMEDY}")
    pairs = [
        (pictures.get(name) or folder / f"{name}.jpg", annotations.get(name) or folder / f"{name}.json")
        for name in pictures.keys() | annotations.keys()
    ]
    return sorted(pairs)


def read_annotation(path: Path, height: int, width: int) -> tuple[tuple[str, ...], bool, np.ndarray]:
    """Wordings but blank ones, whether they are sentences, and (H, W) uint8: 1 the target, 255 undecided, 0 the rest.

    Raises DatasetError naming the file.
    """
    return _parsed(_read(path), path, height, width)


def read_shapes(path: Path) -> list[dict]:
    """The shapes of an annotation, each as labelme wrote it. Raises DatasetError naming the file."""
    content = _read(path)
    with format_of(path, "annotation"):
        return list(content["shapes"])


def _read(path: Path) -> object:
    try:
        return read_json(path)
    except DatasetError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        return read_json(path, "cp1252")  # some files were written on Windows


def _parsed(content: object, path: Path, height: int, width: int) -> tuple[tuple[str, ...], bool, np.ndarray]:
    """See `read_annotation`."""
    with format_of(path, "annotation"):
        found = content["text"]
        texts = tuple(text.strip() for text in found if text.strip()) if isinstance(found, list) else ()
        if not texts:
            raise DatasetError("text must be a list of questions, not all of them blank")
        if content["is_sentence"] not in (True, False):
            raise DatasetError(f"is_sentence must be true or false, not {content['is_sentence']!r}")
        texts = tuple(map(whole_text, texts))
        _check_size(content, height, width)
        return texts, bool(content["is_sentence"]), rasterise(content["shapes"], height, width)


def _with_false_premises(turns: tuple[Turn, ...], content: dict, path: Path) -> LazyTurns:
    """These turns and those of the file's `false_premise_QA`; one that is not of its form costs itself alone."""
    with format_of(path, "false_premise_QA"):
        rows = content.get("false_premise_QA") or []
        if not isinstance(rows, list):
            raise DatasetError(f"it must be a list, not {type(rows).__name__}")

    def turn(number: int) -> Turn:
        if number < len(turns):
            return turns[number]
        with format_of(path, f"false_premise_QA {number - len(turns)}"):
            question, is_sentence, answer = rows[number - len(turns)]
            if is_sentence not in (True, False):
                raise DatasetError(f"whether it is a sentence must be true or false, not {is_sentence!r}")
            question, answer = whole_text(question).strip(), whole_text(answer)
            if not (question and answer.strip()):
                raise DatasetError("question and answer must not be blank")
        return Turn(question, (TruthTarget(question, None),), answer, FALSE_PREMISE, bool(is_sentence))

    return LazyTurns(len(turns) + len(rows), turn)


def _check_size(content: dict, height: int, width: int) -> None:
    """Where labelme says of which picture a file is, it must be this one. Raises DatasetError."""
    known = content.get("imageWidth"), content.get("imageHeight")
    if None not in known and tuple(map(int, known)) != (width, height):
        raise DatasetError(f"it is of a picture of {known[0]}x{known[1]} pixels, not of {width}x{height}")


def _parts(shapes: list[dict], mask: np.ndarray) -> tuple[np.ndarray, ...]:
    """What each of several target shapes has of a picture's target (H, W) bool; () for one shape alone."""
    targets = [shape for shape in shapes if _value_of(shape) == _TARGET]
    parts = [shape_mask(shape, *mask.shape) & mask for shape in targets] if len(targets) > 1 else []
    return tuple(part for part in parts if part.any())


def _value_of(shape: dict) -> int | None:
    """What a shape draws; None for one labelled "flag"."""
    label = shape["label"].strip().lower()
    return None if label == "flag" else _IGNORE if "ignore" in label else _TARGET


def rasterise(shapes: list[dict], height: int, width: int) -> np.ndarray:
    """(H, W) uint8 labels of labelme's shapes; larger ones are drawn first, so that small ones stay visible.

    A shape labelled "flag" is none; one whose label has "ignore" in it is undecided. Coordinates are cut to whole
    pixels, and an outline belongs to its polygon. Raises DatasetError, KeyError or TypeError.
    """
    drawn = []
    for shape in shapes:
        if (value := _value_of(shape)) is not None:
            drawn.append((value, shape_mask(shape, height, width)))
    areas = [np.count_nonzero(mask) for _, mask in drawn]
    targets = [area for (value, _), area in zip(drawn, areas, strict=True) if value == _TARGET]
    if targets and not any(targets):  # or it would pass for a target that is not there
        raise DatasetError(f"all targets lie outside the picture of {width}x{height} pixels; is it another one?")
    labels = np.zeros((height, width), np.uint8)
    for number in np.argsort(areas, kind="stable")[::-1]:
        value, mask = drawn[number]
        labels[mask] = value
    return labels


def read_explanations(path: Path) -> dict[str, str]:
    """Explanation of the answer by file name of the picture. Raises DatasetError."""
    with format_of(path, "explanations"):
        return {row["image"]: whole_text(row["outputs"].strip()) for row in read_json(path)}
