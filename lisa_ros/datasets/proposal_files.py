"""masks.json: the proposals of a data set's images, as LLM-Seg's published preparation stores them."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from lisa_ros.datasets.files import format_of, read_json
from lisa_ros.errors import DatasetError
from lisa_ros.geometry.proposals import Proposal, Proposals
from lisa_ros.geometry.run_lengths import compressed

PROPOSAL_FILE = "masks.json"


class StoredProposals:
    """The proposals of images by their file names; of several entries of one name the last counts.

    Example:
        >>> stored = StoredProposals(Path("reason_seg/ReasonSeg/val/masks.json"))
        >>> stored["123_456.jpg"].largest(50).masks.shape
        (50, 683, 1024)
    """

    def __init__(self, path: Path) -> None:
        """Reads the file; masks are drawn when they are asked for.

        Raises:
            DatasetError: The file is missing, damaged or of another form.
        """
        self.path = Path(path)
        with format_of(self.path, "proposals"):
            rows = read_json(self.path)
            if not isinstance(rows, list):
                raise DatasetError(f"it must be a list of images, not {type(rows).__name__}")
            self._rows = {PurePath(row["image"]).name: row for row in rows}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        """Whether an image has an entry."""
        return PurePath(name).name in self._rows

    def __iter__(self) -> Iterator[str]:
        """Names of the images."""
        return iter(self._rows)

    def __getitem__(self, name: str) -> Proposals:
        """The proposals of an image, in the order of the file. Raises DatasetError where it has none."""
        row = self._rows.get(PurePath(name).name)
        if row is None:
            raise DatasetError(
                f"{self.path} has no proposals of {name}; `python -m training proposals` makes those of a folder"
            )
        with format_of(self.path, f"proposals of {name}"):
            return proposals_of_row(row)


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
