"""The mixture of data sets as an endless stream that can be entered anywhere."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lisa_ros.errors import ConfigurationError, LisaError
from lisa_ros.types import Sample, TruthTarget, Turn
from training.data.items import Renderer, TrainingItem
from training.errors import BadItemError, TrainingError

_COMMON_WORDS = frozenset(
    "a an the of in on at with and or to by from that this is are it its left right front back near".split()  # noqa: SIM905
)
_REDRAWS = 100  # pictures without a single question that are passed over in a row


class DatasetReader(Protocol):
    """A data set with random access.

    Attributes:
        source: Name of the data set.
    """

    source: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str:
        """Name of a sample, unique in the data set."""
        ...


@dataclass(frozen=True)
class DatasetGroup:
    """Data sets of one kind.

    Attributes:
        weight: Relative frequency of items from this group.
        readers: Its data sets, each with equal probability.
    """

    weight: float
    readers: tuple[DatasetReader, ...]


class HybridStream:
    """The mixture of data sets as an endless stream with random access.

    Item `index` is drawn from a group (by weight), one of its data sets and one of that one's samples (with equal
    probability). It depends only on `seed` and `index`: any process gets the same item at any time. Samples without
    questions are skipped. `stream[index]` raises BadItemError for a sample that cannot be read, and TrainingError once
    `skip_limit` different samples have failed in this process.

    Args:
        groups: Groups of data sets by name.
        renderer: Makes items of samples.
        seed: Of the draws.
        skip_limit: Unreadable samples before the stream raises TrainingError.
        swapped_phrases: Share of samples with phrases that are asked for a phrase of another sample of their data set
            too, see `swapped_phrase`.

    Raises:
        ConfigurationError: If a weight is not above 0, or a group or data set is empty.
    """

    def __init__(
        self,
        groups: Mapping[str, DatasetGroup],
        renderer: Renderer,
        seed: int,
        skip_limit: int = 100,
        swapped_phrases: float = 0.0,
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
        self.swapped_phrases = swapped_phrases
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
        read = number  # whose files are to blame
        try:
            sample = reader[number]
            if not sample.turns:
                return None
            absent: Sequence[Turn] = ()
            if self.swapped_phrases and rng.random() < self.swapped_phrases and _has_phrases(sample):
                read = int(rng.integers(len(reader)))
                absent = swapped_phrase(sample, reader[read], rng)
                read = number
            return self.renderer(sample, reader.key(number), rng, absent)
        except LisaError as error:
            key = reader.key(read)
            self.failed[reader.source, key] = str(error)
            if len(self.failed) > self.skip_limit:
                raise TrainingError(_report(self.failed, self.skip_limit)) from error
            raise BadItemError(f"{reader.source} {key}: {error}") from error


def swapped_phrase(sample: Sample, other: Sample, rng: np.random.Generator) -> list[Turn]:
    """A phrase of another picture that names nothing in this one, as a question whose target is absent; [] for none.

    It is taken to be absent if it shares no word, but for the commonest, with any question about this picture. What a
    data set does not mention may still be there: sets that list all classes of a picture are the safest source.
    """
    known = {word for turn in sample.turns for word in _content_words(turn.question)}
    found = [
        turn for turn in other.turns
        if turn.targets and not turn.is_sentence and turn.targets[0].mask is not None
        and (words := _content_words(turn.question)) and not words & known
    ]  # fmt: skip
    if not found:
        return []
    phrase = found[int(rng.integers(len(found)))].question
    return [Turn(phrase, (TruthTarget(phrase, None),), "", "swapped")]


def _has_phrases(sample: Sample) -> bool:
    return any(turn.targets and not turn.is_sentence for turn in sample.turns)


def _content_words(phrase: str) -> set[str]:
    return set(re.findall(r"\w+", phrase.casefold())) - _COMMON_WORDS


def _report(failed: Mapping[tuple[str, str], str], limit: int) -> str:
    counts = Counter(source for source, _ in failed)
    counted = ", ".join(f"{source} {count}" for source, count in counts.most_common())
    reasons: Sequence[str] = list(failed.values())[-3:]
    return (
        f"{len(failed)} samples cannot be read ({counted}), the limit is {limit}; the last ones: {'; '.join(reasons)}"
    )
