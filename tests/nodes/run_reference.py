"""The real node with the real engine on a reference checkpoint, whose SAM has sizes that weights do not tell."""

import json
import sys
from pathlib import Path

from lisa_ros import Lisa
from lisa_ros.nodes.perception.node import main


def load(parameters):
    folder = Path(parameters.model)
    facts = json.loads((folder / "oracle_meta.json").read_text())
    style = facts.get("system", "lisa")
    tower, checkpoint = folder / "clip_tiny", folder / f"{style}_hf"
    return Lisa.from_pretrained(checkpoint, vision_tower=tower, device="cpu", sam=facts["sam"], style=style)


if __name__ == "__main__":
    sys.exit(main(engine_factory=load))
