"""refCOCO, refCOCO+, refCOCOg, refCLEF and gRefCOCO: phrases that refer to something in a picture."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lisa_ros.datasets.coco_masks import segmentation_mask
from lisa_ros.datasets.files import by_id, content_digest, format_of, pictures, read_json, read_plain_pickle, whole_text
from lisa_ros.errors import DatasetError
from lisa_ros.types import LazyTurns, Sample, TruthTarget, Turn

_COCO = Path("mscoco") / "images" / "train2014"
# Of each data set: who split it, names of the splits.
SPLITS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "refcoco": ("unc", ("train", "val", "testA", "testB")),
        "refcoco+": ("unc", ("train", "val", "testA", "testB")),
        "refcocog": ("umd", ("train", "val", "test")),
        "refclef": ("unc", ("train", "val", "testA", "testB", "testC")),
        "grefcoco": ("unc", ("train", "val", "testA", "testB")),
    }
)


class ReferDataset:
    """One split, sorted by image id. One turn for each phrase of a picture, in the order of the references' file.

    Phrases are stripped and in lower case, as LISA is trained and validated with them. A reference that the data set
    gives no pixels has an empty mask. In gRefCOCO a phrase can mean several things, and its mask is their union, or
    nothing in the picture, and its target has no mask. The masks are made when a turn is taken. Construction raises
    DatasetError; items and turns raise DatasetError or InvalidImageError naming the file.

    root: has refer_seg/NAME/{instances.json, refs(BY).p} and refer_seg/images; gRefCOCO's references are in
    grefs(unc).json or .p.
    """

    def __init__(self, root: Path, name: str, split: str) -> None:
        if name not in SPLITS or split not in SPLITS[name][1]:
            known = "; ".join(f"{one}: {', '.join(splits)}" for one, (_, splits) in SPLITS.items())
            raise DatasetError(f"there is no split {split!r} of {name!r}; there are {known}")
        base = Path(root) / "refer_seg"
        self.source = f"{name}/{split}"
        self.images_folder = base / "images" / ("saiapr_tc-12" if name == "refclef" else _COCO)
        self.instances_path = base / name / "instances.json"
        self.references_path = path = _references_path(base / name, name)
        with format_of(path, "references"):
            rows = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
            phrases: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
            for row in rows:
                if _is_of(row["split"], split):
                    texts = [_words(sentence["sent"]) for sentence in row["sentences"]]
                    found = phrases.setdefault(row["image_id"], [])
                    found += [(text, _annotation_ids(row["ann_id"])) for text in texts]
        if not phrases:
            raise DatasetError(f"{path} has no references of split {split!r}")
        self._read_instances(phrases)
        self.phrases = [phrases[image.id] for image in self.images]

    def _read_instances(self, phrases: dict[int, list[tuple[str, tuple[int, ...]]]]) -> None:
        """The rows of this split's pictures and annotations."""
        wanted = {number for found in phrases.values() for _, ids in found for number in ids}
        with format_of(self.instances_path, "instances"):
            content = read_json(self.instances_path)
            images = by_id((image.id, image) for image in pictures(content["images"], phrases))
            self.images = [images[number] for number in sorted(images)]
            rows = ((row["id"], row["segmentation"]) for row in content["annotations"] if row["id"] in wanted)
            annotations = by_id(rows)
            absent = [*(phrases.keys() - {image.id for image in self.images}), *(wanted - annotations.keys())]
            if absent:
                raise DatasetError(f"{len(absent)} images or annotations of {self.source} are missing, as {absent[0]}")
        self.segmentations = annotations

    def __len__(self) -> int:
        return len(self.images)

    def key(self, index: int) -> str:
        """Name of the picture without its ending."""
        return Path(self.images[index].file_name).stem

    def files(self, index: int) -> tuple[Path, ...]:
        """The sample's picture."""
        return (self.images_folder / self.images[index].file_name,)

    def digest(self, index: int) -> str:
        """Changes with whatever the sample is made of. Raises DatasetError."""
        phrases = self.phrases[index]
        drawn = {number: self.segmentations[number] for _, ids in phrases for number in ids}
        return content_digest(self.files(index), self.images[index].size, phrases, sorted(drawn.items()))

    def __getitem__(self, index: int) -> Sample:
        image, phrases = self.images[index].read(self.images_folder), self.phrases[index]

        def turn(number: int) -> Turn:
            text, ids = phrases[number]
            with format_of(self.references_path, f"phrase {number + 1} of {self.key(index)}"):
                whole_text(text)
            target = TruthTarget(text, self._mask(ids, *image.shape[:2]), ids[0] if len(ids) == 1 else None)
            return Turn(text, (target,), "[SEG]." if ids else "", "referring")

        return Sample(image, LazyTurns(len(phrases), turn), self.source)

    def _mask(self, ids: tuple[int, ...], height: int, width: int) -> np.ndarray | None:
        """(H, W) bool union of annotations; None of none."""
        if not ids:
            return None
        mask = np.zeros((height, width), bool)
        for number in ids:
            with format_of(self.instances_path, f"annotation {number}"):
                mask |= segmentation_mask(self.segmentations[number], height, width)
        return mask


def _words(text: object) -> object:
    """As LISA asks; what is no text is told when it is asked for, and does not refuse the whole set."""
    return text.strip().lower() if isinstance(text, str) else text


def _is_of(marked: str, split: str) -> bool:
    """Whether a reference marked so belongs to a split; refCLEF's tests overlap: "testBC" is of testB and testC."""
    return marked == split or (marked.startswith("test") and split in {f"test{letter}" for letter in marked[4:]})


def _references_path(folder: Path, name: str) -> Path:
    if name != "grefcoco":
        return folder / f"refs({SPLITS[name][0]}).p"
    pickled = folder / "grefs(unc).p"
    return pickled if pickled.exists() else folder / "grefs(unc).json"


def _annotation_ids(found: int | list[int]) -> tuple[int, ...]:
    """gRefCOCO lists annotations, [-1] for nothing in the picture; the others have one."""
    ids = found if isinstance(found, list) else [found]
    return tuple(int(number) for number in ids if number != -1)
