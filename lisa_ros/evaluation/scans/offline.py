"""Offline: the same core on the frames of the `.sens` file, without ROS; and baselines on the same questions."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from lisa_ros.errors import InvalidImageError, InvalidQueryError, MemoryBudgetError
from lisa_ros.evaluation.scans.rows import REFUSED, ReplayAnswer
from lisa_ros.evaluation.scans.scan import Case, Scan, cases_by_frame, question_bar
from lisa_ros.evaluation.scans.scoring import Scorer
from lisa_ros.scannet.convert import check_color, depth_in_mm
from lisa_ros.scannet.sens import SensFrame
from lisa_ros.types import SEGMENTED, SegmentationResult, Target

# (case, image (H, W, 3) uint8 RGB) -> mask (H, W) bool, or None for nothing
Baseline = Callable[[Case, np.ndarray], np.ndarray | None]


def run_offline(
    lisa, settings, scan: Scan, scorer: Scorer, baselines: Mapping[str, tuple[Baseline, Scorer]]
) -> dict[int, str]:
    """Asks every case as the perception node does under these parameters (`PerceptionParameters`).

    Returns frame -> why it could not be asked about: its colour or depth is damaged, and a bag would not hold it.
    """
    cases, damaged = cases_by_frame(scan), {}
    with question_bar(scan, scorer.protocol) as bar:
        for sens in scan.sens_frames(set(cases)):
            try:
                image = _image(sens)
            except InvalidImageError as error:
                damaged[sens.index] = str(error)
                bar.update(len(cases[sens.index]))
                continue
            encoded = lisa.encode(image)
            for case in cases[sens.index]:
                scorer.add(case, _ask(lisa, settings, encoded, case.query.text))
                for baseline, its_scorer in baselines.values():
                    its_scorer.add(case, _as_answer(case, baseline(case, image)))
                bar.update()
    return damaged


def _image(sens: SensFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a frame that could stand in a bag. Raises InvalidImageError."""
    check_color(sens)
    depth_in_mm(sens)
    return sens.color()


def _ask(lisa, settings, encoded, text: str) -> ReplayAnswer:
    started = time.perf_counter()
    try:
        if settings.mode == "mask":
            result = lisa.segment(encoded, text)
        else:
            result = lisa.chat(encoded, text, max_new_tokens=settings.max_new_tokens)
    except InvalidQueryError as error:
        return ReplayAnswer(REFUSED, str(error))
    except MemoryBudgetError as error:
        return ReplayAnswer("OUT_OF_MEMORY", str(error))
    found = any(target.mask.any() for target in result.targets)
    return ReplayAnswer("OK" if found else "NO_TARGET", "", result, seconds=time.perf_counter() - started)


def _as_answer(case: Case, mask: np.ndarray | None) -> ReplayAnswer:
    if mask is None or not mask.any():
        return ReplayAnswer("NO_TARGET", result=SegmentationResult(case.query.text, "", ()))
    return ReplayAnswer("OK", result=SegmentationResult(case.query.text, "", (Target("", SEGMENTED, mask),)))
