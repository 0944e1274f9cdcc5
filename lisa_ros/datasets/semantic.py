"""ADE20K, COCO-Stuff and Mapillary Vistas: label images, read as one turn for each class that a picture shows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lisa_ros.datasets.class_labels import ADE20K, COCO_STUFF, COCO_STUFF_UNUSED, check_ade20k, check_coco_stuff
from lisa_ros.datasets.files import REMEDY, format_of, read_annotated, read_json
from lisa_ros.errors import DatasetError
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.types import LazyTurns, Sample, TruthTarget, Turn

UNLABELLED = 255  # in every data set; some have further values


class SemanticDataset:
    """Pictures with label images; one turn for each class in a picture, in the order of the label values.

    The question of a turn is the name of its class. Masks are made when a turn is taken. Items raise DatasetError or
    InvalidImageError naming the file.

    Args:
        source: Name of data set and split.
        pairs: Picture and label image of each sample.
        names: Class name of each label value; None for a class without turns, whose pixels are background of all
            others.
        unlabelled: Values of unlabelled pixels, which `Sample.ignore` marks.
    """

    def __init__(
        self,
        source: str,
        pairs: list[tuple[Path, Path]],
        names: Mapping[int, str | None],
        unlabelled: frozenset[int] = frozenset({UNLABELLED}),
    ) -> None:
        self.source, self.pairs, self.names, self.unlabelled = source, pairs, names, unlabelled

    def __len__(self) -> int:
        return len(self.pairs)

    def key(self, index: int) -> str:
        """Name of the label file without its ending."""
        return self.pairs[index][1].stem

    def files(self, index: int) -> tuple[Path, ...]:
        """The sample's picture and its label image."""
        return self.pairs[index]

    def __getitem__(self, index: int) -> Sample:
        image_path, label_path = self.pairs[index]
        labels = read_labels(label_path)
        present = np.flatnonzero(np.bincount(labels.ravel())).tolist()
        unknown = set(present) - self.names.keys() - self.unlabelled
        if unknown:
            raise DatasetError(f"{label_path} has label values {sorted(unknown)} that {self.source} does not have")
        try:
            image = read_annotated(image_path, labels.shape)
        except DatasetError as error:
            raise DatasetError(f"{label_path} is of {labels.shape} pixels: {error}") from error
        classes = [value for value in present if self.names.get(value)]

        def turn(number: int) -> Turn:
            name = self.names[classes[number]]
            return Turn(name, (TruthTarget(name, labels == classes[number]),), "[SEG].", "class")

        ignore = np.isin(labels, sorted(self.unlabelled))
        return Sample(image, LazyTurns(len(classes), turn), self.source, ignore)


def read_labels(path: Path) -> np.ndarray:
    """Reads a label image.

    Args:
        path: A grey or palette PNG.

    Returns:
        (H, W) uint8 or int32 label values.

    Raises:
        DatasetError: If the file cannot be read or has another mode; the message names it.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "I;16", "I"):
                raise DatasetError(f"{path} is no label image: its mode is {image.mode}, it must be grey or palette")
            labels = np.array(image)
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(explain_pointer(path) or f"{path} cannot be read as a label image: {error}") from error
    return labels if labels.dtype == np.uint8 else labels.astype(np.int32)


def ade20k(root: Path, split: str = "training") -> SemanticDataset:
    """ADE20K's scene parsing benchmark.

    Args:
        root: Has ade20k/{images,annotations}.
        split: "training" or "validation".

    Returns:
        The data set.

    Raises:
        DatasetError: If there are no label images, or their values were reduced by one.
    """
    base = Path(root) / "ade20k"
    pairs = _pairs(base / "annotations" / split, base / "images" / split)
    check_ade20k(pairs, read_labels)
    names = {number + 1: name for number, name in enumerate(ADE20K)}
    return SemanticDataset(f"ade20k/{split}", pairs, names, frozenset({0, UNLABELLED}))


def coco_stuff(root: Path, split: str = "train2017") -> SemanticDataset:
    """COCO-Stuff (stuffthingmaps).

    Classes with a hyphen in their name ("wall-brick") have no turns, as in LISA's training.

    Args:
        root: Has cocostuff/SPLIT/*.png, and the pictures in coco/SPLIT.
        split: "train2017" or "val2017".

    Returns:
        The data set.

    Raises:
        DatasetError: If there are no label images, or they hold COCO's ids, which are one more than these label values.
    """
    pairs = _pairs(Path(root) / "cocostuff" / split, Path(root) / "coco" / split)
    check_coco_stuff(pairs, read_labels)
    names = {
        number: None if "-" in name else name
        for number, name in enumerate(COCO_STUFF)
        if number not in COCO_STUFF_UNUSED
    }
    return SemanticDataset(f"cocostuff/{split}", pairs, names)


def mapillary(root: Path, split: str = "training") -> SemanticDataset:
    """Mapillary Vistas 2.0; the class names are those of its config_v2.0.json.

    Its class "Unlabeled" is treated as unlabelled pixels.

    Args:
        root: Has mapillary/config_v2.0.json and mapillary/SPLIT.
        split: "training" or "validation".

    Returns:
        The data set.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    base = Path(root) / "mapillary"
    path = base / "config_v2.0.json"
    with format_of(path, "labels"):
        readable = [label["readable"].lower() for label in read_json(path)["labels"]]
    names = {number: name for number, name in enumerate(readable) if name != "unlabeled"}
    unlabelled = frozenset({UNLABELLED, *(n for n, name in enumerate(readable) if name == "unlabeled")})
    pairs = _pairs(base / split / "v2.0" / "labels", base / split / "images")
    return SemanticDataset(f"mapillary/{split}", pairs, names, unlabelled)


def _pairs(labels: Path, images: Path) -> list[tuple[Path, Path]]:
    found = sorted(labels.glob("*.png"))
    if not found:
        raise DatasetError(f"{labels} has no *.png; {REMEDY}")
    return [(images / f"{path.stem}.jpg", path) for path in found]
