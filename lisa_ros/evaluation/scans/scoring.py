"""Answers to rows: each is scored when it comes, so that no more than one mask a query is kept."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.errors import ConfigurationError, InvalidImageError, RecordingError
from lisa_ros.evaluation.metrics import overlap_of
from lisa_ros.evaluation.scans.frame_scores import FrameView, agreement, choice_of, score_cloud, true_points
from lisa_ros.evaluation.scans.rows import ReplayAnswer, ReplayRow
from lisa_ros.evaluation.scans.scan import Case, Scan
from lisa_ros.images import write_mask
from lisa_ros.recordings.frames import RgbdFrame
from lisa_ros.scannet.truth import FrameTruth, resize_nearest
from lisa_ros.types import SEGMENTED


class DecodedFrame:
    """A frame of the bag whose pictures are decoded once, when they are needed."""

    def __init__(self, frame: RgbdFrame):
        self.rgbd = frame

    @cached_property
    def view(self) -> FrameView | None:
        """None where it has no usable depth, which the status and the message of the node's answer say."""
        try:
            return FrameView.of(self.rgbd)
        except InvalidImageError:
            return None


@dataclass(frozen=True)
class _PreviousAnswer:
    """The last answer to a query. A mask of None is empty."""

    index: int
    frame: DecodedFrame
    mask: np.ndarray | None
    truth: np.ndarray


class Scorer:
    """Scores the answers of one protocol, in the order of frames; masks go to files in `directory`."""

    def __init__(self, protocol: str, scan: Scan, directory: Path | None = None):
        self.protocol, self._scan, self._directory = protocol, scan, directory
        self._before: dict[str, _PreviousAnswer] = {}
        self.rows: list[ReplayRow] = []
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
                for old in directory.glob("*.png"):  # of an earlier run, where now there may be no mask
                    old.unlink()
            except OSError as error:
                raise ConfigurationError(f"cannot write to {directory}: {error.strerror}") from error

    def add(self, case: Case, answer: ReplayAnswer, frame: DecodedFrame | None = None) -> ReplayRow:
        """Scores one answer. frame: of the bag, for the scores in space; None to go without."""
        truth = self._scan.truth(case.query, case.frame)
        mask = answer.mask
        try:
            overlap = overlap_of(mask, truth.labels)
        except ValueError as error:
            raise RecordingError(f"{case.query.query_id} about frame {case.frame}: {error}") from error
        row = ReplayRow(
            protocol=self.protocol,
            scene=self._scan.scene,
            query_id=case.query.query_id,
            number=self._scan.number(case.query),
            kind=case.query.kind,
            text=case.query.text,
            frame=case.frame,
            stamp=case.stamp,
            status=answer.status,
            message=answer.message,
            answer=answer.result.answer if answer.result else "",
            masks=sum(target.kind == SEGMENTED for target in answer.result.targets) if answer.result else 0,
            truncated=bool(answer.result and answer.result.truncated),
            digest=digest(answer),
            intersection=overlap.intersection,
            union=overlap.union,
            present=overlap.present,
            found=overlap.found,
            seconds=answer.seconds,
            age=answer.age,
            stages=dict(answer.result.seconds) if answer.result else {},
            **self._objects(case, answer),
            **self._in_space(case, answer, truth, frame),
        )
        if self._directory is not None and mask is not None:
            write_mask(self._directory / f"{row.name}.png", mask)
        self.rows.append(row)
        return row

    def _objects(self, case: Case, answer: ReplayAnswer) -> dict[str, int]:
        instances = resize_nearest(self._scan.annotation.instances(case.frame), self._scan.color_size)
        choice = choice_of(answer.mask, instances, case.query.object_ids)
        return {f"objects_{name}": number for name, number in vars(choice).items()}

    def _in_space(self, case: Case, answer: ReplayAnswer, truth: FrameTruth, frame: DecodedFrame | None) -> dict:
        if frame is None or not answer.answered or frame.view is None:
            return {}
        found: dict = {}
        true = true_points(truth.mask, frame.view) if answer.points is not None else None
        if true is not None:
            score = score_cloud(answer.points, true)
            found = {
                "centroid_error": score.centroid_error,
                "precision_2cm": score.precision[0],
                "precision_5cm": score.precision[1],
                "recall_2cm": score.recall[0],
                "recall_5cm": score.recall[1],
            }
        now = _PreviousAnswer(case.frame, frame, answer.mask, truth.mask)
        before = self._before.get(case.query.query_id)
        self._before[case.query.query_id] = now
        return found | (_stability(before, now) if before is not None else {})


def _stability(before: _PreviousAnswer, now: _PreviousAnswer) -> dict:
    shape = now.truth.shape
    empty = np.zeros(shape, bool)
    masks = [empty if item.mask is None else item.mask for item in (before, now)]
    found = agreement(masks[0], before.frame.view, masks[1], now.frame.view)
    if found is None:
        return {}
    truth = agreement(before.truth, before.frame.view, now.truth, now.frame.view)
    return {"step": now.index - before.index, "stability": _iou(found), "stability_truth": _iou(truth)}


def _iou(overlap) -> float:
    return overlap.intersection / overlap.union if overlap.union else 1.0


def digest(answer: ReplayAnswer) -> str:
    """The same for equal masks, in the same order, and for nothing else; "" without an answer."""
    if not answer.answered:
        return ""
    total = hashlib.sha256()
    for target in answer.result.targets:
        # A message without any mask has no size either.
        if target.mask.any():
            total.update(repr(target.mask.shape).encode() + np.packbits(target.mask).tobytes())
        else:
            total.update(b"empty")
    return total.hexdigest()


def read_mask(directory: Path, row: ReplayRow) -> np.ndarray | None:
    """(H, W) bool as the scorer wrote it; None where the answer had none."""
    path = directory / f"{row.name}.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    return None if pixels is None else pixels > 0
