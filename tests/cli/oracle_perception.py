"""The real perception node in a process of its own, with the demo's truth in the model's place."""

import os
import sys

import cv2
import numpy as np

from lisa_ros.demo.questions import choose_scenes
from lisa_ros.nodes.perception.node import main
from lisa_ros.types import ABSENT, SEGMENTED, Finished, MaskReady, SegmentationResult, Target, TextDelta


class Oracle:
    """Knows the demo's scenes by their pixels; its masks are the true ones, two pixels too wide.

    model: "oracle", "silent" (segments nothing) or "dies" (ends the process at the first question).
    """

    device = "cpu"

    def __init__(self, settings):
        self.manner = settings.model
        self.provenance = f"{settings.model} fp32 none"
        self.scenes = {scene.scene.image.tobytes(): scene for scene in choose_scenes()}

    def memory(self):
        return {"allocated": 0}

    def encode(self, image):
        return self.scenes[image.tobytes()]

    def segment_phrases(self, scene, phrases, **_):
        query = next(query for query in scene.queries if getattr(query, "asked", None) == phrases)
        empty = np.zeros(scene.scene.depth.shape, bool)
        targets = tuple(
            Target(phrase, ABSENT, empty, probability=0.01) if index is None
            else Target(phrase, SEGMENTED, _widened(scene.scene.mask(index)), mean_probability=0.9, probability=0.9)
            for phrase, index in zip(query.asked, query.asked_ids, strict=True)
        )  # fmt: skip
        return SegmentationResult(", ".join(phrases), "", targets, {"prefill": 0.01})

    def stream(self, scene, text, **_):
        if self.manner == "dies":
            os._exit(7)
        query = next(query for query in scene.queries if query.text == text)
        answer = query.answer.replace(" [SEG]", "")
        yield TextDelta(answer)
        targets = ()
        if self.manner != "silent" and query.target_ids:
            masks = [_widened(scene.scene.mask(index)) for index in query.target_ids]
            targets = tuple(map(_target, query.phrases, masks))
        for index, target in enumerate(targets):
            yield MaskReady(index, target)
        yield Finished(SegmentationResult(text, answer, targets, {"generate": 0.01}))


def _target(phrase, mask):
    return Target(phrase, SEGMENTED, mask, mean_probability=0.9)


def _widened(mask):
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)


if __name__ == "__main__":
    sys.exit(main(engine_factory=Oracle))
