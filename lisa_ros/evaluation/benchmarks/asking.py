"""Turns about an image put to a predictor: together where it can, and one by one where that fails."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lisa_ros.errors import InvalidQueryError, MemoryBudgetError
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.inference.batch import ROWS_AT_ONCE
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.types import SegmentationResult, Turn

_Together = Callable[[EncodedFrame, Sequence[Turn]], list[SegmentationResult] | None]


class Asked(NamedTuple):
    """A turn's answer.

    Attributes:
        result: Empty where the model could not be asked.
        error: Why it could not; "" if it could.
        seconds: Wall time; of turns that were asked together each has an equal part.
    """

    result: SegmentationResult
    error: str
    seconds: float


def ask_all(predictor: Predictor, frame: EncodedFrame, turns: Sequence[Turn]) -> Iterator[Asked]:
    """The answers to turns about one image, several at a time where the predictor has a method `together`."""
    together = getattr(predictor, "together", None)
    for first in range(0, len(turns), ROWS_AT_ONCE):
        part = turns[first : first + ROWS_AT_ONCE]
        started = time.perf_counter()
        results = _together(together, frame, part) if together and len(part) > 1 else None
        if results is None:
            yield from (ask(predictor, frame, turn) for turn in part)
        else:
            seconds = (time.perf_counter() - started) / len(part)
            yield from (Asked(result, "", seconds) for result in results)


def _together(together: _Together, frame: EncodedFrame, turns: Sequence[Turn]) -> list[SegmentationResult] | None:
    """None where one of them cannot be asked, or the memory does not hold all; alone each is told apart."""
    try:
        return together(frame, turns)
    except (InvalidQueryError, MemoryBudgetError):
        return None


def ask(predictor: Predictor, frame: EncodedFrame, turn: Turn) -> Asked:
    """The answer to one turn; empty where the model cannot be asked."""
    started = time.perf_counter()
    try:
        result, error = predictor(frame, turn), ""
    except InvalidQueryError as refused:
        result, error = SegmentationResult(turn.question, "", ()), str(refused)
    return Asked(result, error, time.perf_counter() - started)
