"""The refCOCO family, refCLEF, gRefCOCO, Ref-ZOM, R- and FP-RefCOCO: phrases that refer to something, or not."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lisa_ros.datasets.coco_masks import segmentation_mask
from lisa_ros.datasets.files import by_id, content_digest, format_of, pictures, read_json, read_plain_pickle, whole_text
from lisa_ros.errors import DatasetError
from lisa_ros.types import FALSE_PREMISE, LazyTurns, Sample, TruthTarget, Turn

_COCO = Path("mscoco") / "images" / "train2014"
# Ref-ZOM's pictures are of both parts of COCO 2014; its authors put them into one folder, others leave them in two.
_BOTH_PARTS = ("train2014", "val2014", "trainval2014")
# Folder of a data set whose users do not all call it the same.
_FOLDERS = MappingProxyType({"ref-zom": ("ref-zom", "refzom")})
# Of each data set: who split it, names of the splits.
SPLITS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "refcoco": ("unc", ("train", "val", "testA", "testB")),
        "refcoco+": ("unc", ("train", "val", "testA", "testB")),
        "refcocog": ("umd", ("train", "val", "test")),
        "refclef": ("unc", ("train", "val", "testA", "testB", "testC")),
        "grefcoco": ("unc", ("train", "val", "testA", "testB")),
        "ref-zom": ("final", ("train", "test")),
        "R-refcoco": ("unc_exclude_unified", ("train", "val", "testA", "testB")),
        "R-refcoco+": ("unc_exclude_unified", ("train", "val", "testA", "testB")),
        "R-refcocog": ("umd_exclude_unified", ("train", "val", "test")),
        "fprefcoco": ("berkeley_exclude_unified", ("train", "val", "test")),
        "fprefcoco+": ("berkeley_exclude_unified", ("train", "val", "test")),
        "fprefcocog": ("berkeley_exclude_unified", ("train", "val", "test")),
    }
)
# Further splits by others: SESAME's, whose training pictures are in no evaluation split of any of these sets.
OTHER_SPLITS: Mapping[str, str] = MappingProxyType(
    {"refcoco": "unc_exclude_unified", "refcoco+": "unc_exclude_unified", "refcocog": "umd_exclude_unified"}
)


class _Phrase(NamedTuple):
    """A phrase as its file has it.

    premise: of a set with false premises, whether the phrase refers to anything and, where it does not, what one could
    say in its place ("" for nothing); None of a set without them.
    """

    text: object
    annotations: tuple[int, ...]
    premise: tuple[object, object] | None = None


class ReferDataset:
    """One split, sorted by image id. One turn for each phrase of a picture, in the order of the references' file.

    Phrases are stripped and in lower case, as LISA is trained and validated with them. A reference that the data set
    gives no pixels has an empty mask. In gRefCOCO and Ref-ZOM a phrase can mean several things, each a target of its
    own, or nothing in the picture, and its target has no mask. Nor has that of a false premise (R-RefCOCO's sentences
    whose `exist` is false, FP-RefCOCO's whose `is_false_premise` is true), a turn of kind "false_premise"; FP-RefCOCO
    names what is there in its place (`gt_sent`), `TruthTarget.alternative`. The masks are made when a turn is taken.

    Args:
        root: Has refer_seg/NAME/{instances.json, refs(BY).p} and refer_seg/images; gRefCOCO's references are in
            grefs(unc).json or .p, Ref-ZOM's file of that name is refs(final).p.
        name: A key of SPLITS.
        split: One of the splits that SPLITS has for it.
        by: Who split it, the BY of the references' file; None: as SPLITS has it. OTHER_SPLITS has further ones.

    Raises:
        DatasetError: From the constructor, items and turns, naming the file.
        InvalidImageError: From items, naming the picture.
    """

    def __init__(self, root: Path, name: str, split: str, by: str | None = None) -> None:
        if name not in SPLITS or split not in SPLITS[name][1]:
            known = "; ".join(f"{one}: {', '.join(splits)}" for one, (_, splits) in SPLITS.items())
            raise DatasetError(f"there is no split {split!r} of {name!r}; there are {known}")
        base = Path(root) / "refer_seg"
        self.source = f"{name}/{split}" if by is None else f"{name}/{by}/{split}"
        self.images_folder = base / "images" / ("saiapr_tc-12" if name == "refclef" else _COCO)
        self._spread = name == "ref-zom"
        folder = next((base / one for one in _FOLDERS.get(name, ()) if (base / one).is_dir()), base / name)
        self.instances_path = folder / "instances.json"
        self.references_path = path = _references_path(folder, name, by)
        with format_of(path, "references"):
            rows = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
            phrases: dict[int, list[_Phrase]] = {}
            for row in rows:
                if _is_of(row["split"], split):
                    ids = () if row.get("source") == "zero" else _annotation_ids(row["ann_id"])
                    found = phrases.setdefault(row["image_id"], [])
                    found += [_phrase(sentence, ids) for sentence in row["sentences"]]
        if not phrases:
            raise DatasetError(f"{path} has no references of split {split!r}")
        self._read_instances(phrases)
        self.phrases = [phrases[image.id] for image in self.images]

    def _read_instances(self, phrases: dict[int, list[_Phrase]]) -> None:
        """The rows of this split's pictures and annotations."""
        wanted = {number for found in phrases.values() for phrase in found for number in phrase.annotations}
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
        return (self._folder(index) / self.images[index].file_name,)

    def _folder(self, index: int) -> Path:
        """Where the sample's picture is."""
        if not self._spread:
            return self.images_folder
        parts = [self.images_folder.parent / part for part in _BOTH_PARTS]
        return next((part for part in parts if (part / self.images[index].file_name).is_file()), self.images_folder)

    def digest(self, index: int) -> str:
        """Changes with whatever the sample is made of. Raises DatasetError."""
        # what a set says nothing of is no part of the digest
        phrases = [phrase[:2] if phrase.premise is None else phrase for phrase in self.phrases[index]]
        drawn = {number: self.segmentations[number] for _, ids, *_ in phrases for number in ids}
        return content_digest(self.files(index), self.images[index].size, phrases, sorted(drawn.items()))

    def __getitem__(self, index: int) -> Sample:
        image, phrases = self.images[index].read(self._folder(index)), self.phrases[index]

        def turn(number: int) -> Turn:
            phrase = phrases[number]
            with format_of(self.references_path, f"phrase {number + 1} of {self.key(index)}"):
                whole_text(phrase.text)
                exists, instead = _checked_premise(phrase.premise)
            if exists:
                each = [(number,) for number in phrase.annotations] or [()]
                targets = tuple(self._target(phrase.text, ids, *image.shape[:2]) for ids in each)
                return Turn(phrase.text, targets, "[SEG]." if phrase.annotations else "", "referring")
            there = self._target(instead, phrase.annotations, *image.shape[:2]) if instead else None
            return Turn(phrase.text, (TruthTarget(phrase.text, None, alternative=there),), "", FALSE_PREMISE)

        return Sample(image, LazyTurns(len(phrases), turn), self.source)

    def _target(self, text: str, ids: tuple[int, ...], height: int, width: int) -> TruthTarget:
        return TruthTarget(text, self._mask(ids, height, width), ids[0] if len(ids) == 1 else None)

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
    """As LISA asks."""
    return text.strip().lower() if isinstance(text, str) else text


def _phrase(sentence: object, ids: tuple[int, ...]) -> _Phrase:
    """A phrase of another form raises an error when its turn is taken; the data set can still be opened."""
    if not isinstance(sentence, Mapping):
        return _Phrase(sentence, ids)
    premise = None
    if "is_false_premise" in sentence:
        claimed = sentence["is_false_premise"]
        premise = (not claimed if claimed in (True, False) else claimed), _words(sentence.get("gt_sent"))
    elif "exist" in sentence:
        premise = sentence["exist"], ""
    return _Phrase(_words(sentence.get("sent")), ids, premise)


def _checked_premise(premise: tuple[object, object] | None) -> tuple[bool, str]:
    """Raises DatasetError where it does not say whether the phrase refers to something, or what else is there."""
    if premise is None:
        return True, ""
    exists, instead = premise
    if exists not in (True, False):
        raise DatasetError(f"is_false_premise or exist must be true or false, not {str(exists)[:80]!r}")
    if not isinstance(instead, str) and not (exists or instead is None):
        raise DatasetError(f"gt_sent must be text, not {str(instead)[:80]!r}")
    return bool(exists), "" if exists or instead is None else whole_text(instead)


def _is_of(marked: str, split: str) -> bool:
    """Whether a reference marked so belongs to a split; refCLEF's tests overlap: "testBC" is of testB and testC."""
    return marked == split or (marked.startswith("test") and split in {f"test{letter}" for letter in marked[4:]})


def _references_path(folder: Path, name: str, by: str | None) -> Path:
    if name != "grefcoco":
        return folder / f"refs({by or SPLITS[name][0]}).p"
    pickled = folder / "grefs(unc).p"
    return pickled if pickled.exists() else folder / "grefs(unc).json"


def _annotation_ids(found: int | list[int]) -> tuple[int, ...]:
    """gRefCOCO lists annotations, [-1] for nothing in the picture, Ref-ZOM [] for it; the others have one."""
    ids = found if isinstance(found, list) else [found]
    return tuple(int(number) for number in ids if number != -1)
