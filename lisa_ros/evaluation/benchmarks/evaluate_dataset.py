"""Asks a model about every sample of a data set; resumable, and shared out over processes without duplicates."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from lisa_ros.errors import ConfigurationError, DatasetError, InvalidImageError, MemoryBudgetError
from lisa_ros.evaluation.benchmarks.asking import ask_all
from lisa_ros.evaluation.benchmarks.candidate_choices import candidate_answers
from lisa_ros.evaluation.benchmarks.judged_masks import judged_masks
from lisa_ros.evaluation.benchmarks.proposal_oracle import among_proposals
from lisa_ros.evaluation.benchmarks.rows import EvaluationIdentity, QueryRow, RowFile, RowLog, read_all
from lisa_ros.evaluation.metrics import overlap_of, union_truth
from lisa_ros.evaluation.predictors import Predictor, encode_sample, model_digest
from lisa_ros.progress import track
from lisa_ros.types import FALSE_PREMISE, SEGMENTED, Sample, Turn

BAD_SAMPLE = (DatasetError, InvalidImageError, MemoryBudgetError)  # what one sample can be the cause of


class EvaluationDataset(Protocol):
    """A data set with random access.

    It may have a method `digest(index)`, see `SampleDigests`.

    Attributes:
        source: Data set and split.
    """

    source: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str:
        """Name of a sample, the same for good."""
        ...


class SampleDigests:
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


@dataclass(frozen=True)
class Shard:
    """One of several parts of a data set: every `count`-th sample, starting with `index`.

    Attributes:
        index: Number of the part, from 0.
        count: Number of parts.

    Raises:
        ConfigurationError: If the index is not within 0..count - 1.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigurationError(f"shard {self.index}/{self.count}: the part must be within 0..{self.count - 1}")

    @property
    def file_name(self) -> str:
        """Where its rows go."""
        return "rows.jsonl" if self.count == 1 else f"rows-{self.index:05d}-of-{self.count:05d}.jsonl"


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
    digests: SampleDigests | None = None,
) -> RowLog:
    """Scores the samples of a shard that `directory` has no valid rows of.

    Rows of a sample whose picture or annotation has changed since it was scored are discarded, and the sample is scored
    again. A sample that cannot be read, or does not fit the device's memory, is recorded as bad and tried again by the
    next run.

    Args:
        dataset: The samples.
        predictor: How the model is asked.
        benchmark: Name of the benchmark, part of the rows' identity.
        directory: Where the rows are; it is created.
        shard: The part to score; None for the whole data set.
        first_wording: Ask only the first turn of each sample, as LISA's validation of ReasonSeg does.
        limit: Number of samples of the whole data set; None for all.
        progress: Show a progress bar on stderr.
        digests: Digests of the samples, if they are known already.

    Returns:
        All rows that the directory has then.

    Raises:
        ConfigurationError: If the directory belongs to another evaluation.
        DatasetError: If two samples have the same key.
    """
    shard, lisa = shard or Shard(), predictor.lisa
    identity = EvaluationIdentity(
        benchmark, dataset.source, len(dataset), lisa.provenance, model_digest(lisa), predictor.mode,
        predictor.max_new_tokens,
    )  # fmt: skip
    numbers, digests = _numbers(dataset), digests or SampleDigests(dataset)
    indices = range(shard.index, min(len(dataset), limit or len(dataset)), shard.count)
    directory.mkdir(parents=True, exist_ok=True)
    with RowFile(directory / shard.file_name, identity) as file:
        log = read_all(directory)  # also of runs with another number of processes
        if gone := sorted((log.by_key.keys() | log.bad.keys()) - numbers.keys()):
            raise ConfigurationError(
                f"{directory} has rows of {len(gone)} samples that {dataset.source} lacks now, as {gone[0]}: "
                "choose another --out or remove it"
            )
        log = read_current(directory, dataset, digests)
        for key, scored in score(dataset, predictor, indices, log.by_key, first_wording, progress, digests):
            if isinstance(scored, str):
                file.append_bad(key, scored)
            else:
                file.append(scored)
    return replace(read_current(directory, dataset, digests), changed=log.changed)


def read_current(directory: Path, dataset: EvaluationDataset, digests: SampleDigests) -> RowLog:
    """The rows in a directory that were scored with what the data set holds now.

    `changed` names the samples of the others. Raises DatasetError, ConfigurationError.
    """
    numbers = _numbers(dataset)
    return read_all(directory, lambda key: digests[numbers[key]] if key in numbers else "")


def _numbers(dataset: EvaluationDataset) -> dict[str, int]:
    """Number of each name. Raises DatasetError where two samples have the same: one would be left out of the score."""
    counts = Counter(dataset.key(index) for index in range(len(dataset)))
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise DatasetError(f"{len(twice)} names in {dataset.source} stand for several samples each, as {twice[0]!r}")
    return {dataset.key(index): index for index in range(len(dataset))}


def score(
    dataset: EvaluationDataset,
    predictor: Predictor,
    indices: range,
    done: Collection[str] = (),
    first_wording: bool = False,
    progress: bool = False,
    digests: SampleDigests | None = None,
) -> Iterator[tuple[str, list[QueryRow] | str]]:
    """Key and rows of each sample that is not done, or why it could not be read."""
    digests = digests or SampleDigests(dataset)
    for index in track(indices, description=f"{dataset.source} {predictor.mode}", unit="image", active=progress):
        key = dataset.key(index)
        if key in done:
            continue
        try:  # the masks of a sample may be read as late as its turns are taken
            digest = digests.before_reading(index)  # what changes in between is found by the next run
            sample = dataset[index]
            digests.note(index, digest or sample_digest(sample))
            scored = list(score_sample(sample, key, predictor, first_wording, digests[index])) or "it has no question"
        except BAD_SAMPLE as error:
            scored = str(error)
        yield key, scored


def score_sample(
    sample: Sample, key: str, predictor: Predictor, first_wording: bool = False, digest: str = ""
) -> Iterator[QueryRow]:
    """Asks and scores the turns of one image. digest: of the sample, see `QueryRow`."""
    started = time.perf_counter()
    frame = encode_sample(predictor.lisa, sample)
    encoding = time.perf_counter() - started
    numbered = list(_first_wordings(sample.turns) if first_wording else enumerate(sample.turns))
    asked = ask_all(predictor, frame, [turn for _, turn in numbered])
    for (number, turn), (result, error, seconds) in zip(numbered, asked, strict=True):
        truth = union_truth(turn, sample.ignore)
        overlap = overlap_of(result.union_mask, truth)
        masks = [target.mask for target in result.targets if target.kind == SEGMENTED]
        offered = [target.alternative.mask for target in result.targets if target.alternative]
        first = overlap_of(next(iter((*offered, *masks)), None), truth)
        yield QueryRow(
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
            masks=len(masks),
            truncated=result.truncated,
            error=error,
            seconds=round(seconds, 4),
            encoding=round(encoding, 4),
            phrases=tuple(target.phrase for target in turn.targets),
            reference=turn.answer,
            digest=digest,
            exists=any(target.mask is not None for target in turn.targets),
            alternatives=tuple(one.alternative.phrase for one in turn.targets if one.alternative),
            first_intersection=first.intersection,
            first_union=first.union,
            first_found=first.found,
            judged=judged_masks(result, turn, sample.ignore),
            **among_proposals(frame, result, truth),
            **candidate_answers(predictor, sample, frame, turn, result, could_ask=not error),
        )


def _first_wordings(turns: Sequence[Turn]) -> Iterator[tuple[int, Turn]]:
    """The first turn, and the first one of a false premise, with their numbers."""
    kinds = set()
    for number, turn in enumerate(turns):
        if number == 0 or (turn.kind == FALSE_PREMISE and turn.kind not in kinds):
            kinds.add(turn.kind)
            yield number, turn
