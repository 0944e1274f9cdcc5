"""The perception node with an engine that fails and dawdles wherever a test wants it to.

Beyond the scripted engine's words: "corner" (a mask of the image's first 400x400 pixels), "linger 2" (s, after the
masks), "memoryerror", "exit" (raise), "burn 2" (s of Python that never lets go of the interpreter lock by itself). The
first pixel of an image may tell `encode` what to do: ENCODE_SLOWLY, ENCODE_CRASHES, ENCODE_OUT_OF_MEMORY.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "nodes"))

import numpy as np
from scripted_engine import ScriptedEngine, _number, _wait

from lisa_ros.errors import MemoryBudgetError
from lisa_ros.nodes.perception.node import main
from lisa_ros.types import SEGMENTED, Finished, MaskReady, SegmentationResult, Target

ENCODE_SLOWLY, ENCODE_CRASHES, ENCODE_OUT_OF_MEMORY = (1, 2, 3), (2, 3, 4), (3, 4, 5)
SLOW_ENCODING = 1.5  # s


class FaultyEngine(ScriptedEngine):
    def encode(self, image):
        order = tuple(int(value) for value in image[0, 0])
        if order == ENCODE_CRASHES:
            raise RuntimeError("scripted crash inside the vision tower")
        if order == ENCODE_OUT_OF_MEMORY:
            raise MemoryBudgetError("encoding needs 9.0 GB, 1.0 GB are free; use a smaller image")
        if order == ENCODE_SLOWLY:
            time.sleep(SLOW_ENCODING)
        return super().encode(image)

    def stream(self, frame, text, *, max_new_tokens=None, cancelled=None):
        if "memoryerror" in text:
            raise MemoryError
        if "exit" in text:
            raise SystemExit(3)
        end = time.perf_counter() + _number("burn ", text)
        while time.perf_counter() < end:
            if cancelled is not None and sum(range(1000)) and cancelled():
                break
        if "corner" in text:
            mask = np.zeros(frame.image.shape[:2], bool)
            mask[:400, :400] = True
            target = Target("corner", SEGMENTED, mask, mean_probability=0.9)
            yield MaskReady(0, target)
            yield Finished(SegmentationResult(text, "corner", (target,)))
            return
        for event in super().stream(frame, text, max_new_tokens=max_new_tokens, cancelled=cancelled):
            if isinstance(event, Finished):
                _wait(_number("linger ", text), cancelled)
            yield event


if __name__ == "__main__":
    sys.exit(main(engine_factory=FaultyEngine))
