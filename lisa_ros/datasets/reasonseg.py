"""ReasonSeg: pictures with implicit questions, one mask each, and for some an explanation."""

from pathlib import Path

import numpy as np

from lisa_ros.datasets.files import REMEDY, format_of, read_json, whole_text
from lisa_ros.datasets.polygon_fill import fill_polygon
from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image
from lisa_ros.types import Sample, TruthTarget, Turn

SPLITS = ("train", "val", "test")
_TARGET, _IGNORE = 1, 255
_FARTHEST = 100_000  # coordinate of a polygon; drawing takes memory in proportion


class ReasonSegDataset:
    """One split, `root`/reason_seg/ReasonSeg/SPLIT, sorted by file name.

    The turns of a sample are all wordings in the file; they ask for the same mask. `is_sentence` tells whole questions
    from phrases. `Sample.ignore` marks what annotators left undecided. explanatory: an explanation of
    explanatory/train.json follows `[SEG].` in the answers, where there is one. Construction raises DatasetError; items
    raise DatasetError or InvalidImageError naming the file.
    """

    def __init__(self, root: Path, split: str, explanatory: bool = False) -> None:
        if split not in SPLITS:
            raise DatasetError(f"ReasonSeg has no split {split!r}; there are {', '.join(SPLITS)}")
        base = Path(root) / "reason_seg" / "ReasonSeg"
        self.images = sorted((base / split).glob("*.jpg"))
        if not self.images:
            raise DatasetError(f"{base / split} has no *.jpg; {REMEDY}")
        self.source = f"reason_seg/{split}"
        self.explanations = read_explanations(base / "explanatory" / "train.json") if explanatory else {}

    def __len__(self) -> int:
        return len(self.images)

    def key(self, index: int) -> str:
        """Name of the picture without its ending."""
        return self.images[index].stem

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample is read from."""
        return self.images[index], self.images[index].with_suffix(".json")

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        image = read_image(path)
        texts, is_sentence, labels = read_annotation(path.with_suffix(".json"), *image.shape[:2])
        mask = labels == _TARGET
        answer = f"[SEG]. {self.explanations.get(path.name, '')}".strip()
        kind = "reasoning" if is_sentence else "phrase"
        turns = tuple(Turn(text, (TruthTarget(text, mask),), answer, kind, is_sentence) for text in texts)
        return Sample(image, turns, self.source, labels == _IGNORE)


def read_annotation(path: Path, height: int, width: int) -> tuple[tuple[str, ...], bool, np.ndarray]:
    """Wordings but blank ones, whether they are sentences, and (H, W) uint8: 1 the target, 255 undecided, 0 the rest.

    Raises DatasetError naming the file.
    """
    try:
        content = read_json(path)
    except DatasetError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        content = read_json(path, "cp1252")  # some files were written on Windows
    with format_of(path, "annotation"):
        found = content["text"]
        texts = tuple(text.strip() for text in found if text.strip()) if isinstance(found, list) else ()
        if not texts:
            raise DatasetError("text must be a list of questions, not all of them blank")
        if content["is_sentence"] not in (True, False):
            raise DatasetError(f"is_sentence must be true or false, not {content['is_sentence']!r}")
        texts = tuple(map(whole_text, texts))
        return texts, bool(content["is_sentence"]), rasterise(content["shapes"], height, width)


def rasterise(shapes: list[dict], height: int, width: int) -> np.ndarray:
    """(H, W) uint8 labels of polygons; larger ones are drawn first, so that small ones stay visible.

    A shape labelled "flag" is none; one whose label has "ignore" in it is undecided. Coordinates are cut to whole
    pixels, and an outline belongs to its polygon. Raises DatasetError, KeyError or TypeError.
    """
    drawn = []
    for shape in shapes:
        if shape["label"].lower() != "flag":
            value = _IGNORE if "ignore" in shape["label"].lower() else _TARGET
            drawn.append((value, _corners(shape["points"])))
    areas = []
    for _, corners in drawn:
        labels = np.zeros((height, width), np.uint8)
        fill_polygon(labels, corners, 1)
        areas.append(np.count_nonzero(labels))
    targets = [area for (value, _), area in zip(drawn, areas, strict=True) if value == _TARGET]
    if targets and not any(targets):  # or it would pass for a target that is not there
        raise DatasetError(f"all targets lie outside the picture of {width}x{height} pixels; is it another one?")
    labels = np.zeros((height, width), np.uint8)
    for number in np.argsort(areas, kind="stable")[::-1]:
        value, corners = drawn[number]
        fill_polygon(labels, corners, value)
    return labels


def _corners(points: list) -> np.ndarray:
    corners = np.array(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not (np.abs(corners) <= _FARTHEST).all():
        raise DatasetError(f"points must be a list of x, y within +-{_FARTHEST}, not {str(points)[:80]}")
    return corners.astype(np.int32)


def read_explanations(path: Path) -> dict[str, str]:
    """Explanation of the answer by file name of the picture. Raises DatasetError."""
    with format_of(path, "explanations"):
        return {row["image"]: whole_text(row["outputs"].strip()) for row in read_json(path)}
