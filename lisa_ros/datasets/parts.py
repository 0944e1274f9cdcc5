"""PACO-LVIS and PASCAL-Part: objects and their parts, one turn for each annotation."""

from pathlib import Path

from lisa_ros.datasets.coco_masks import segmentation_mask
from lisa_ros.datasets.files import format_of, pictures, read_json
from lisa_ros.errors import DatasetError
from lisa_ros.types import LazyTurns, Sample, TruthTarget, Turn


class PartsDataset:
    """A COCO annotation file whose categories are "object" or "object:part".

    There is one turn for each annotation of a picture, in the order of the file: "chair leg", with the alternative "the
    leg of the chair". Two annotations of one class are two turns with one mask each, as in LISA's training. Pictures
    without annotations are skipped. Masks are made when a turn is taken. Items and turns raise DatasetError or
    InvalidImageError naming the file.

    Args:
        path: The annotation file.
        images: Folder that the pictures' `file_name` is relative to.
        source: Name of data set and split.

    Raises:
        DatasetError: If the file is missing or damaged, or annotates no picture.
    """

    def __init__(self, path: Path, images: Path, source: str) -> None:
        self.path, self.root, self.source = Path(path), Path(images), source
        with format_of(self.path, "annotations"):
            content = read_json(self.path)
            self.names = {row["id"]: wordings(row["name"]) for row in content["categories"]}
            self.annotations: dict[int, list[tuple[int, int, object]]] = {}  # id, category, segmentation
            for row in content["annotations"]:
                found = row["id"], row["category_id"], row["segmentation"]
                if found[1] not in self.names:
                    raise DatasetError(f"annotation {found[0]} is of an unknown category {found[1]}")
                self.annotations.setdefault(row["image_id"], []).append(found)
            self.images = sorted(pictures(content["images"], self.annotations), key=lambda image: image.file_name)
        if not self.images:
            raise DatasetError(f"{path} annotates no picture")

    def __len__(self) -> int:
        return len(self.images)

    def key(self, index: int) -> str:
        """The picture's path in the annotation file."""
        return self.images[index].file_name

    def files(self, index: int) -> tuple[Path, ...]:
        """The sample's picture."""
        return (self.root / self.images[index].file_name,)

    def __getitem__(self, index: int) -> Sample:
        annotations = self.annotations[self.images[index].id]
        image = self.images[index].read(self.root)

        def turn(number: int) -> Turn:
            identity, category, segmentation = annotations[number]
            name, *alternatives = self.names[category]
            with format_of(self.path, f"annotation {identity}"):
                mask = segmentation_mask(segmentation, *image.shape[:2])
            target = TruthTarget(name, mask, identity)
            return Turn(
                name, (target,), "[SEG].", "part" if alternatives else "class", alternatives=tuple(alternatives)
            )

        return Sample(image, LazyTurns(len(annotations), turn), self.source)


def wordings(category: str) -> tuple[str, ...]:
    """Ways to name a category: "bottle_(container):cap_(lid)" is a "bottle cap" or "the cap of the bottle".

    Underscores become blanks, unlike in LISA's training ("trash_can").

    Args:
        category: Name of the category in the annotation file.

    Returns:
        The wordings, the question's first.
    """
    words = [name.split("_(")[0].replace("_", " ").strip() for name in category.split(":")]
    if len(words) == 1:
        return (words[0],)
    whole, part = words
    return f"{whole} {part}", f"the {part} of the {whole}"


def paco_lvis(root: Path) -> PartsDataset:
    """PACO-LVIS.

    Args:
        root: Has vlpart/paco/annotations/paco_lvis_v1_train.json, and the pictures in coco.

    Returns:
        The data set.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    path = Path(root) / "vlpart" / "paco" / "annotations" / "paco_lvis_v1_train.json"
    return PartsDataset(path, Path(root) / "coco", "paco_lvis/train")


def pascal_part(root: Path) -> PartsDataset:
    """PASCAL-Part.

    Args:
        root: Has vlpart/pascal_part/train.json and the pictures in vlpart/pascal_part/VOCdevkit.

    Returns:
        The data set.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    base = Path(root) / "vlpart" / "pascal_part"
    return PartsDataset(base / "train.json", base / "VOCdevkit" / "VOC2010" / "JPEGImages", "pascal_part/train")
