"""Asks a model about every sample of a data set; resumable, and shared out over processes without duplicates."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from lisa_ros.errors import ConfigurationError, DatasetError, InvalidImageError, InvalidQueryError
from lisa_ros.evaluation.metrics import IGNORE, overlap_of
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.evaluation.rows import Identity, Row, RowFile
from lisa_ros.types import Sample, SegmentationResult, Turn


class EvaluationDataset(Protocol):
    """Samples by number; `key(index)` names one for good, `source` the set and split."""

    source: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str: ...


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` of a data set: every count-th sample, so that the parts together are the whole."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigurationError(f"shard {self.index}/{self.count}: the part must be within 0..{self.count - 1}")

    @property
    def file_name(self) -> str:
        """Where its rows go."""
        return "rows.jsonl" if self.count == 1 else f"rows-{self.index:05d}-of-{self.count:05d}.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What a run did. bad: samples that could not be read, as key -> reason; they are tried again by the next run."""

    identity: Identity
    asked: int
    bad: dict[str, str] = field(default_factory=dict)


def union_truth(turn: Turn, ignore: np.ndarray | None = None) -> np.ndarray | None:
    """The union of a turn's targets as the metrics take it; None where nothing of it is in the image.

    (H, W) bool, or uint8 with 255 where `ignore` is set.
    """
    masks = [target.mask for target in turn.targets if target.mask is not None]
    if not masks:
        return None
    truth = np.logical_or.reduce(masks)
    return truth if ignore is None else np.where(ignore, np.uint8(IGNORE), truth.astype(np.uint8))


def evaluate(
    dataset: EvaluationDataset,
    predictor: Predictor,
    benchmark: str,
    directory: Path,
    *,
    shard: Shard | None = None,
    first_wording: bool = False,
    limit: int | None = None,
    progress: bool = False,
) -> Outcome:
    """Scores the samples of a shard that `directory` has no rows of yet.

    first_wording: ask the first turn of each sample only, as LISA's validation of ReasonSeg does. limit: number of
    samples of the whole set. Raises ConfigurationError where the directory belongs to another evaluation.
    """
    shard = shard or Shard()
    identity = Identity(benchmark, dataset.source, predictor.lisa.provenance, predictor.mode)
    directory.mkdir(parents=True, exist_ok=True)
    rows = RowFile(directory / shard.file_name, identity)
    indices = range(shard.index, min(len(dataset), limit or len(dataset)), shard.count)
    bad, asked = {}, 0
    for index in tqdm(indices, desc=f"{dataset.source} {predictor.mode}", unit="image", disable=not progress):
        key = dataset.key(index)
        if key in rows.done:
            continue
        try:  # the masks of a sample may be read as late as its turns are taken
            scored = list(score_sample(dataset[index], key, predictor, first_wording))
        except (DatasetError, InvalidImageError) as error:
            bad[key] = str(error)
            continue
        if scored:
            rows.append(scored)
            asked += len(scored)
    return Outcome(identity, asked, bad)


def score_sample(sample: Sample, key: str, predictor: Predictor, first_wording: bool = False) -> Iterator[Row]:
    """Asks and scores the turns of one image."""
    frame = predictor.lisa.encode(sample.image)
    for number, turn in enumerate(sample.turns[:1] if first_wording else sample.turns):
        truth = union_truth(turn, sample.ignore)
        started = time.perf_counter()
        try:
            result, error = predictor(frame, turn), ""
        except InvalidQueryError as refused:
            result, error = SegmentationResult(turn.question, "", ()), str(refused)
        seconds = time.perf_counter() - started
        overlap = overlap_of(result.union_mask, truth)
        yield Row(
            key=key,
            turn=number,
            text=turn.question,
            kind=turn.kind,
            sentence=turn.is_sentence,
            intersection=overlap.intersection,
            union=overlap.union,
            present=overlap.present,
            found=overlap.found,
            answer=result.answer,
            masks=len(result.targets),
            truncated=result.truncated,
            error=error,
            seconds=round(seconds, 4),
        )
