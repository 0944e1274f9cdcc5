"""LLM-Seg40K: questions about pictures of COCO and EgoObjects, each with one mask."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lisa_ros.datasets.files import content_digest, format_of, read_json, whole_text
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.geometry.run_lengths import run_length_mask
from lisa_ros.images import read_image
from lisa_ros.types import LazyTurns, Sample, TruthTarget, Turn

SPLITS = ("train", "validation", "test")
_FOLDERS = {"coco": Path("coco/train2017"), "ego_objects": Path("ego_objects/images")}


class LlmSeg40kDataset:
    """A split of LLM-Seg40K, one sample for each picture.

    The official validation takes 100 questions of the split in an order of its own; here all count.

    Attributes:
        source: Data set and split.

    Example:
        >>> data = LlmSeg40kDataset(Path("datasets"), "validation")
        >>> data[0].turns[0].question
        'What shows the time of day?'
    """

    def __init__(self, root: Path, split: str) -> None:
        """Reads the split's questions; pictures and masks are read with the samples.

        Args:
            root: Directory of the data sets, with LLMSeg-40K, coco/train2017 and ego_objects/images.
            split: One of SPLITS.

        Raises:
            ConfigurationError: There is no such split.
            DatasetError: The file of questions is missing or damaged.
        """
        if split not in SPLITS:
            raise ConfigurationError(f"LLM-Seg40K has no split {split!r}; there are {', '.join(SPLITS)}")
        self.source, self.root, self.split = f"llmseg40k/{split}", Path(root), split
        self.path = self.root / "LLMSeg-40K" / f"{split}.json"
        rows = read_json(self.path)
        if not isinstance(rows, dict):
            raise DatasetError(f"{self.path} must hold an object, from names of pictures to their questions")
        self.rows = sorted(rows.items())

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, index: int) -> str:
        """Name of the picture."""
        return self.rows[index][0]

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample is read from, but for the questions."""
        return (self._picture(index),)

    def digest(self, index: int) -> str:
        """Changes with whatever the sample is made of. Raises DatasetError."""
        return content_digest(self.files(index), self.rows[index][1])

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self._picture(index))
        name, row = self.rows[index]
        with format_of(self.path, name):
            pairs = row["qa_pairs"]
            if not isinstance(pairs, list):
                raise DatasetError(f"qa_pairs must be a list, not {type(pairs).__name__}")

        def turn(number: int) -> Turn:
            with format_of(self.path, f"question {number} of {name}"):
                text = whole_text(pairs[number]["question"])
                # As the official code has it: weights know the training's texts with their blanks.
                text = text if self.split == "train" else text.strip()
                if not text.strip():
                    raise DatasetError("the question is blank")
                mask = self._mask(pairs[number], *image.shape[:2])
                return Turn(text, (TruthTarget(text, mask),), "[SEG].", "reasoning", True)

        return Sample(image, LazyTurns(len(pairs), turn), self.source)

    def _picture(self, index: int) -> Path:
        name, row = self.rows[index]
        with format_of(self.path, name):
            if Path(name).name != name:
                raise DatasetError(f"{name!r} is no name of a picture")
            if row["from_dataset"] not in _FOLDERS:
                raise DatasetError(f"from_dataset is {row['from_dataset']!r}; there are {', '.join(_FOLDERS)}")
            return self.root / _FOLDERS[row["from_dataset"]] / name

    def _mask(self, pair: Mapping[str, object], height: int, width: int) -> np.ndarray:
        """(H, W) bool, from run lengths or from a picture: published files have either."""
        if pair.get("rle_seg"):
            return run_length_mask(pair["rle_seg"], height, width)
        path = self.root / pair["segmentation_path"]
        mask = read_image(path, as_stored=True).any(axis=2)
        if mask.shape != (height, width):
            raise DatasetError(f"{path} is of {mask.shape[1]}x{mask.shape[0]} pixels, the picture of {width}x{height}")
        return mask
