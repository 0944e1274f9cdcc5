"""Scenes whose model kills its process. Arguments: scenes file, folder, a scene fatal once, a scene always fatal."""

import os
import signal
import sys
from pathlib import Path

from lisa_ros.evaluation.scannet.evaluate_scenes import ScannetOptions, run_scenes
from lisa_ros.evaluation.scannet.scene import GenerationOptions, read_scenes
from lisa_ros.types import SegmentationResult

SCENES, OUT, ONCE, ALWAYS = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]


class Deadly:
    """Answers nothing; knows a scene by a question that only that scene has, which is its name."""

    provenance = "deadly"

    def __init__(self, marker: Path, once: str, always: str):
        self.marker, self.once, self.always = marker, once, always

    def encode(self, image):
        return image

    def chat(self, image, text, max_new_tokens):
        if text == self.once and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if text == self.always:
            os.kill(os.getpid(), signal.SIGKILL)
        return SegmentationResult(text, "nothing", ())


if __name__ == "__main__":
    options = ScannetOptions(
        read_scenes(SCENES, boundary=0), OUT, lambda: (Deadly(OUT / "died", ONCE, ALWAYS), "digest"),
        GenerationOptions("chat", 8), {}, ray="local", workers=2, device="cpu",
    )  # fmt: skip
    summary = run_scenes(options, lambda line: print(line, flush=True))
    sys.exit(1 if summary["failed"] else 0)
