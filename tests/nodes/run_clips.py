"""The real node with the truth of moving tabletop scenes in the model's place: it answers what each image shows."""

import sys

import numpy as np

from lisa_ros.evaluation.following.clips import draw_clips
from lisa_ros.nodes.perception.node import main
from lisa_ros.types import ABSENT, SEGMENTED, Finished, MaskReady, SegmentationResult, Target


class ClipEngine:
    """With the interface of `lisa_ros.Lisa`, as far as followed goals use it."""

    device, provenance = "cpu", "truth of the clips"

    def __init__(self, parameters):
        self._truths = {
            one.image.tobytes(): one.truth for clip in clips() for one in clip.images()
        }  # a picture in which nothing has moved yet has one truth, whatever clip it is of

    def memory(self):
        return {}

    def encode(self, image):
        return image

    def stream(self, image, text, **_):
        mask = self._truths.get(image.tobytes(), np.zeros(image.shape[:2], bool))
        target = Target("it", SEGMENTED if mask.any() else ABSENT, mask)
        yield MaskReady(0, target)
        yield Finished(SegmentationResult(text, "It.", (target,)))


def clips():
    return draw_clips(1, ("camera", "occlusion", "leaving"), length=3.0, rate=10.0)


if __name__ == "__main__":
    sys.exit(main(engine_factory=ClipEngine))
