"""The real node with the real engine on the reference checkpoint, whose SAM has sizes that weights do not tell."""

import json
import sys
from pathlib import Path

from lisa_ros import Lisa
from lisa_ros.nodes.perception.node import main


def load(parameters):
    folder = Path(parameters.model)
    sizes = json.loads((folder / "oracle_meta.json").read_text())["sam"]
    return Lisa.from_pretrained(folder / "lisa_hf", vision_tower=folder / "clip_tiny", device="cpu", sam=sizes)


if __name__ == "__main__":
    sys.exit(main(engine_factory=load))
