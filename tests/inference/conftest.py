"""The engine on the tiny reference model."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = Path(__file__).parents[1] / "golden" / "c_tiny"


@pytest.fixture(scope="session")
def load():
    """`load(precision=...)` gives the engine."""
    from lisa_ros import Lisa

    sam = json.loads((TINY / "oracle_meta.json").read_text())["sam"]
    return partial(Lisa.from_pretrained, TINY / "lisa_hf", vision_tower=TINY / "clip_tiny", device="cpu", sam=sam)


@pytest.fixture(scope="session")
def lisa(load):
    """The engine in float32."""
    return load()


@pytest.fixture(scope="session")
def images():
    """Three (H, W, 3) uint8 RGB images."""
    return [np.array(Image.open(TINY / "images" / f"img{i}.png").convert("RGB")) for i in range(3)]


@pytest.fixture(scope="session")
def frame(lisa, images):
    """The image of the reference case whose answer has two masks."""
    return lisa.encode(images[1])


@pytest.fixture(scope="session")
def other_frame(lisa, images):
    """The image of the reference case whose answer has none."""
    return lisa.encode(images[2])
