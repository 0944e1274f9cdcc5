"""What a sample's scores depend on besides the model: a digest that tells whether they still hold."""

import hashlib
import json

import numpy as np

from lisa_ros.errors import DatasetError, InvalidImageError
from lisa_ros.types import Sample


class Digests:
    """Digests of a data set's samples, each made once: `digests[index]`, "" for a sample that cannot be read.

    A data set can make them itself, by a method `digest(index)`, from the files that a sample is read from; of any
    other the samples are read.
    """

    def __init__(self, dataset) -> None:
        self._dataset, self._known = dataset, {}

    def __getitem__(self, index: int) -> str:
        if index not in self._known:
            try:
                self._known[index] = self.before_reading(index) or sample_digest(self._dataset[index])
            except (DatasetError, InvalidImageError):
                self._known[index] = ""
        return self._known[index]

    def before_reading(self, index: int) -> str | None:
        """The digest that the data set makes, None where it makes none. Raises DatasetError, InvalidImageError."""
        make = getattr(self._dataset, "digest", None)
        return None if make is None else make(index)

    def note(self, index: int, digest: str) -> None:
        """The digest of a sample that has been read."""
        self._known[index] = digest


def sample_digest(sample: Sample) -> str:
    """Of a sample's picture, questions, answers, masks and ignored pixels."""
    total = hashlib.sha256()
    for pixels in (sample.image, sample.ignore):
        _add(total, pixels)
    for turn in sample.turns:
        phrases = [target.phrase for target in turn.targets]
        words = [turn.question, turn.is_sentence, turn.kind, turn.answer, phrases]
        total.update(json.dumps(words).encode())
        for target in turn.targets:
            _add(total, target.mask)
    return total.hexdigest()[:32]


def _add(total, pixels: np.ndarray | None) -> None:
    total.update(b"none" if pixels is None else repr((pixels.shape, pixels.dtype)).encode())
    if pixels is not None:
        total.update(np.ascontiguousarray(np.packbits(pixels) if pixels.dtype == bool else pixels).tobytes())
