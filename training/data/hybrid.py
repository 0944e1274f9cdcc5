"""The mixture of data sets as an endless stream that can be entered anywhere."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lisa_ros.errors import ConfigurationError, LisaError
from lisa_ros.types import Sample
from training.data.items import Renderer, TrainingItem
from training.errors import BadItemError, TrainingError

_REDRAWS = 100  # pictures without a single question that are passed over in a row


class DatasetReader(Protocol):
    """A data set. source: its name. key: of a sample, unique in the data set."""

    source: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str: ...


@dataclass(frozen=True)
class DatasetGroup:
    """Data sets of one kind. weight: how often an item comes from the group, against the other groups' weights."""

    weight: float
    readers: tuple[DatasetReader, ...]


class HybridStream:
    """Item number `index`: a group by weight, one of its data sets, one of that one's samples, each as likely.

    `stream[index]` depends on `seed` and `index` alone: any process, at any time, gets the same item. A sample whose
    files cannot be read raises BadItemError naming it; once `skip_limit` different samples have failed in this
    process, TrainingError counts them. Samples without questions are passed over. Raises ConfigurationError.
    """

    def __init__(
        self, groups: Mapping[str, DatasetGroup], renderer: Renderer, seed: int, skip_limit: int = 100
    ) -> None:
        weights = np.array([group.weight for group in groups.values()], float)
        if not groups or not (np.isfinite(weights).all() and (weights > 0).all()):
            raise ConfigurationError(f"the mixture's weights are {weights.tolist()}; there must be some, all above 0")
        for name, group in groups.items():
            if not group.readers:
                raise ConfigurationError(f"{name} of the mixture has no data set")
            if empty := [reader.source for reader in group.readers if not len(reader)]:
                raise ConfigurationError(f"{name} of the mixture: {empty[0]} holds no samples; look at data.root")
        self.groups, self.shares = tuple(groups.values()), weights / weights.sum()
        self.renderer, self.seed, self.skip_limit = renderer, seed, skip_limit
        self.failed: dict[tuple[str, str], str] = {}

    def __getitem__(self, index: int) -> TrainingItem:
        rng = np.random.default_rng((self.seed, index))
        for _ in range(_REDRAWS):
            readers = self.groups[int(rng.choice(len(self.groups), p=self.shares))].readers
            reader = readers[int(rng.integers(len(readers)))]
            number = int(rng.integers(len(reader)))
            item = self._item(reader, number, rng)
            if item is not None:
                return item
        raise TrainingError(f"{_REDRAWS} samples in a row have no questions; the last one: {reader.source} {number}")

    def _item(self, reader: DatasetReader, number: int, rng: np.random.Generator) -> TrainingItem | None:
        """The rendered sample; None if it has no questions."""
        try:
            sample = reader[number]
            return self.renderer(sample, reader.key(number), rng) if sample.turns else None
        except LisaError as error:
            key = reader.key(number)
            self.failed[reader.source, key] = str(error)
            if len(self.failed) > self.skip_limit:
                raise TrainingError(_report(self.failed, self.skip_limit)) from error
            raise BadItemError(f"{reader.source} {key}: {error}") from error


def _report(failed: Mapping[tuple[str, str], str], limit: int) -> str:
    counts = Counter(source for source, _ in failed)
    counted = ", ".join(f"{source} {count}" for source, count in counts.most_common())
    reasons: Sequence[str] = list(failed.values())[-3:]
    return (
        f"{len(failed)} samples cannot be read ({counted}), the limit is {limit}; the last ones: {'; '.join(reasons)}"
    )
