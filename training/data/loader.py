"""The endless item stream cut into micro-batches: random access by number, so that a run resumes anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from torch.utils.data import DataLoader, Dataset

from lisa_ros.errors import ConfigurationError, LisaError
from training.data.collate import Batch, Collator
from training.data.feature_cache import FeatureCache, hash_of_image
from training.data.items import TrainingItem
from training.errors import BadItemError, TrainingError

_REPLACEMENT = 1 << 40  # distance in the stream from an item that cannot be used to the one taken in its place
_ATTEMPTS = 20


class ItemStream(Protocol):
    """An endless stream: the same index always gives the same item, in any process."""

    def __getitem__(self, index: int) -> TrainingItem: ...


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at a time.

    Attributes:
        batch: The items as tensors.
        skipped: Why items were skipped, one reason each.
    """

    batch: Batch
    skipped: tuple[str, ...]


class MicroBatchDataset(Dataset):
    """Random access to micro-batches: `self[first]` holds the items `first` to `first + batch_size - 1` of the stream.

    An item that cannot be used is replaced by another one from far along the stream, and the reason is recorded.

    Args:
        items: The stream.
        collator: Makes batches of items.
        batch_size: Items of a micro-batch.
        cache: SAM features of images; None for no cache.
    """

    def __init__(self, items: ItemStream, collator: Collator, batch_size: int, cache: FeatureCache | None) -> None:
        self.items, self.collator, self.batch_size, self.cache = items, collator, batch_size, cache

    def __getitem__(self, first: int) -> MicroBatch:
        skipped: list[str] = []
        items = [self._usable(index, skipped) for index in range(first, first + self.batch_size)]
        if self.cache is None:
            return MicroBatch(self.collator(items), tuple(skipped))
        keys = tuple(hash_of_image(item.image) for item in items if item.image is not None)
        batch = self.collator(items, self.cache.get(keys))
        return MicroBatch(replace(batch, image_keys=keys), tuple(skipped))

    def _usable(self, index: int, skipped: list[str]) -> TrainingItem:
        for attempt in range(_ATTEMPTS):
            try:
                item = self.items[index + attempt * _REPLACEMENT]
                self.collator.check(item)
                return item
            except ConfigurationError:
                raise
            except (BadItemError, LisaError) as error:
                skipped.append(str(error))
        raise TrainingError(f"{_ATTEMPTS} items in a row cannot be used; the last one: {skipped[-1]}")


@dataclass(frozen=True)
class MicroBatchSampler:
    """Which micro-batches of the stream one process takes.

    Attributes:
        rank: Number of the process.
        world_size: Number of processes.
        batch_size: Items of a micro-batch.
        accumulation: Micro-batches of an optimizer step in each process.
    """

    rank: int
    world_size: int
    batch_size: int
    accumulation: int

    @property
    def items_per_step(self) -> int:
        """Items that one optimizer step of all processes takes."""
        return self.world_size * self.accumulation * self.batch_size

    def first_items(self, items: int, steps: int) -> Iterator[int]:
        """The first items of this process's micro-batches.

        Args:
            items: First item of the first step.
            steps: Optimizer steps.

        Yields:
            Index in the stream of the first item of each micro-batch.
        """
        for micro in range(steps * self.accumulation):
            yield items + (micro * self.world_size + self.rank) * self.batch_size


def load_micro_batches(data: MicroBatchDataset, first_items: Iterator[int], workers: int) -> Iterator[MicroBatch]:
    """The micro-batches in order, prepared ahead in other processes.

    Args:
        data: The micro-batches.
        first_items: First item of each.
        workers: Number of processes; 0 to prepare them in this one.

    Yields:
        The micro-batches.

    Raises:
        TrainingError: If data cannot be used.
    """
    try:
        yield from DataLoader(data, batch_size=None, sampler=list(first_items), num_workers=workers)
    except (TrainingError, LisaError) as error:
        # From another process it comes with that one's traceback, which is kept as the cause.
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from error
