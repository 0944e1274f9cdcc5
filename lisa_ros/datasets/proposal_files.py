"""masks.json: the proposals of a data set's images, as LLM-Seg's published preparation stores them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from lisa_ros.datasets.files import format_of, read_json
from lisa_ros.errors import DatasetError
from lisa_ros.geometry.proposals import Proposal, Proposals
from lisa_ros.geometry.run_lengths import compressed
from lisa_ros.types import Sample

PROPOSAL_FILE = "masks.json"


class StoredProposals:
    """The proposals of images by their file names, with or without the ending; of several of one name the last counts.

    Example:
        >>> stored = StoredProposals(Path("reason_seg/ReasonSeg/val/masks.json"))
        >>> stored["123_456.jpg"].largest(50).masks.shape
        (50, 683, 1024)
    """

    def __init__(self, *paths: Path) -> None:
        """Reads files; masks are drawn when they are asked for.

        Raises:
            DatasetError: A file is missing, damaged or of another form.
        """
        self.paths, rows = tuple(map(Path, paths)), []
        for path in self.paths:
            with format_of(path, "proposals"):
                found = read_json(path)
                if not isinstance(found, list):
                    raise DatasetError(f"it must be a list of images, not {type(found).__name__}")
                rows += [(PurePath(row["image"]), row) for row in found]
        self._rows = {name.stem: row for name, row in rows} | {name.name: row for name, row in rows}
        self._names = list(dict.fromkeys(name.name for name, _ in rows))

    def __len__(self) -> int:
        """Number of images."""
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        """Whether an image has an entry."""
        return PurePath(name).name in self._rows

    def __iter__(self) -> Iterator[str]:
        """Names of the images."""
        return iter(self._names)

    def __getitem__(self, name: str) -> Proposals:
        """The proposals of an image, in the order of the file. Raises DatasetError where it has none."""
        row = self._rows.get(PurePath(name).name)
        if row is None:
            raise DatasetError(
                f"{self._files} has no proposals of {name}; `python -m training proposals` makes those of a folder"
            )
        with format_of(self.paths[-1], f"proposals of {name}"):
            return proposals_of_row(row)

    @property
    def _files(self) -> str:
        return ", ".join(map(str, self.paths))


class WithProposals(Sequence[Sample]):
    """A data set whose samples come with proposals, of a file or of their own truth.

    Attributes:
        source: Of the data set.
    """

    def __init__(self, dataset: Sequence[Sample], stored: StoredProposals | None) -> None:
        """stored: None for the masks of each sample's own targets: what a perfect generator would give."""
        self.dataset, self.stored, self.source = dataset, stored, dataset.source

    def __len__(self) -> int:
        return len(self.dataset)

    def key(self, index: int) -> str:
        """Name of a sample."""
        return self.dataset.key(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample is read from, but for the proposals."""
        return self.dataset.files(index)

    def digest(self, index: int) -> str:
        """Changes with what the sample is made of; "" for a data set that does not tell. Raises DatasetError."""
        inner = getattr(self.dataset, "digest", None)
        if inner is None:
            return ""
        found = () if self.stored is None else self.stored[self.key(index)].items
        return hashlib.sha256(repr((inner(index), found)).encode()).hexdigest()[:32]

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        if sample.image is None:
            return sample
        found = truth_proposals(sample) if self.stored is None else self.stored[self.key(index)]
        return replace(sample, proposals=found)


def truth_proposals(sample: Sample) -> Proposals:
    """The masks of a sample's targets, each once, at the size of its image: an oracle, and a generator for tests."""
    found: dict[bytes, np.ndarray] = {}
    for turn in sample.turns:
        for target in turn.targets:
            if target.mask is not None and target.mask.any():
                found.setdefault(np.packbits(target.mask).tobytes(), target.mask)
    return Proposals.from_masks(found.values(), *sample.image.shape[:2])


def proposals_of_row(row: Mapping[str, object]) -> Proposals:
    """Proposals of one image's entry. Raises DatasetError, KeyError, TypeError or ValueError."""
    height, width = map(int, row["target_size"])
    return Proposals(height, width, tuple(_proposal(one, height, width) for one in row["masks"]))


def row_of_proposals(name: str, proposals: Proposals) -> dict[str, object]:
    """The entry of one image, JSON-ready."""
    size = [proposals.height, proposals.width]
    masks = [
        {
            "segmentation": {"size": size, "counts": item.counts},
            "area": item.area,
            "bbox": list(item.box),
            "predicted_iou": item.predicted_iou,
            "point_coords": [list(item.point)] if item.point else [],
            "stability_score": item.stability,
            "crop_box": list(item.crop_box or (0, 0, proposals.width, proposals.height)),
        }
        for item in proposals.items
    ]
    return {"image": name, "target_size": size, "masks": masks}


def _proposal(found: Mapping, height: int, width: int) -> Proposal:
    lengths = found["segmentation"]
    if list(lengths["size"]) != [height, width]:
        raise DatasetError(f"a mask of {lengths['size']} in an image of {[height, width]}")
    counts = lengths["counts"]
    points = found.get("point_coords") or []
    return Proposal(
        counts if isinstance(counts, str) else compressed(counts), int(found["area"]), tuple(found["bbox"]),
        float(found.get("predicted_iou", 1.0)), float(found.get("stability_score", 1.0)),
        tuple(points[0]) if points else None, tuple(found["crop_box"]) if found.get("crop_box") else None,
    )  # fmt: skip
