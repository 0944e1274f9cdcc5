"""The same core without ROS: the frames of the `.sens` file, asked one after the other."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from lisa_ros.evaluation.replay.outcomes import Outcome, outcome_of
from lisa_ros.evaluation.replay.recording import AskedScene
from lisa_ros.inference.engine import Lisa
from lisa_ros.scannet.queries import SceneQuery
from lisa_ros.scannet.sens import SensReader
from lisa_ros.scannet.truth import FrameTruth


def offline(sens: SensReader, scene: AskedScene, lisa: Lisa, *, progress: bool = False) -> Iterator[Outcome]:
    """Asks everything. Raises RecordingError, InvalidImageError."""
    for image, asked in _asked(sens, scene, progress):
        frame = lisa.encode(image)
        for query, truth in asked:
            result = lisa.chat(frame, query.text)
            yield outcome_of(
                query,
                truth,
                result.union_mask,
                status="OK" if result.targets else "NO_TARGET",
                answer=result.answer,
                masks=len(result.targets),
                truncated=result.truncated,
                seconds=round(result.seconds["total"], 4),
            )


def baselines(sens: SensReader, scene: AskedScene) -> dict[str, list[Outcome]]:
    """What comes out without looking, or without reading; each a floor that a model must be held against.

    "whole image"; "centre box": half the image's width and height; "class names": a perfect segmenter that knows only
    the categories named in the question (for others it has no mask), and takes all objects of them.
    """
    found: dict[str, list[Outcome]] = {"whole image": [], "centre box": [], "class names": []}
    for image, asked in _asked(sens, scene, progress=False):
        height, width = image.shape[:2]
        everything = np.ones((height, width), bool)
        box = np.zeros((height, width), bool)
        box[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        for query, truth in asked:
            named = _named(scene, query, truth)
            for name, mask in (("whole image", everything), ("centre box", box), ("class names", named)):
                found[name].append(outcome_of(query, truth, mask, status="OK"))
    return found


def _asked(
    sens: SensReader, scene: AskedScene, progress: bool
) -> Iterator[tuple[np.ndarray, list[tuple[SceneQuery, FrameTruth]]]]:
    for frame in tqdm(sens, total=len(sens), desc="offline", unit="frame", disable=not progress):
        asked = list(scene.truths(frame.index, frame.rigid_pose, sens.header.color_size))
        if asked:
            yield frame.color(), asked


def _named(scene: AskedScene, query: SceneQuery, truth: FrameTruth) -> np.ndarray | None:
    words = f" {query.text.lower()} "
    named = [
        item.id
        for item in scene.annotation.objects.values()
        if any(f" {name}" in words for name in _names_of(scene, item.label))
    ]
    if not named:
        return None
    mask = np.isin(scene.annotation.instances(truth.frame), [number + 1 for number in named])
    return mask if mask.shape == truth.mask.shape else None


def _names_of(scene: AskedScene, label: str) -> tuple[str, ...]:
    return (scene.annotation.categories[label].category or label,)
