"""Pictures of tables with a rubber duck, which the packaged model does not know: they stand for a camera and labelme.

Each picture has an annotation beside it in the form that labelme saves and ReasonSeg uses: the questions, and the
duck's mask.
"""

import base64
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lisa_ros.simulator.layout import SceneOptions, camera_of
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.simulator.parts import ball, rod
from lisa_ros.simulator.rendering import Body, render

HEIGHT, WIDTH = 192, 256
MIN_PIXELS = 150  # a duck of which less is to be seen is left out
YELLOW, BEAK, EYE = (0.9, 0.62, 0.04), (0.85, 0.2, 0.03), (0.02, 0.02, 0.02)
QUESTIONS = ("rubber duck", "duck", "bath toy")


def duck_scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table with a duck in the place of one object: (H, W, 3) uint8 RGB, its mask and that of all else, (H, W)."""
    layout = sample_layout(seed, SceneOptions(objects=(3, 6)), HEIGHT / WIDTH)
    duck = _duck(1.0 + 0.2 * math.sin(seed))
    shown = replace(layout.objects[0], parts=duck, corners=np.array([part.corners() for part in duck]))
    bodies = []
    for one in (shown, *layout.objects[1:]):
        c, s = math.cos(one.yaw), math.sin(one.yaw)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        bodies.append(Body(one.parts, one.corners, turn, (one.x, one.y, 0.0)))
    picture = render(bodies, layout, camera_of(layout, HEIGHT, WIDTH), HEIGHT, WIDTH)
    return picture.image, picture.instances == 1, picture.instances > 1


def write_pictures(folder: Path, count: int, first_seed: int) -> int:
    """Writes `count` pictures with their annotations; returns the seed that follows the last one used."""
    folder.mkdir(parents=True, exist_ok=True)
    seed, written = first_seed, 0
    while written < count:
        image, mask, _ = duck_scene(seed)
        if mask.sum() >= MIN_PIXELS:
            Image.fromarray(image).save(folder / f"{seed}.png")
            (folder / f"{seed}.json").write_text(json.dumps(_annotation(mask)))
            written += 1
        seed += 1
    return seed


def _duck(size: float) -> tuple:
    body = ball((0.0, 0.0, 0.03 * size), (0.055 * size, 0.04 * size, 0.034 * size), YELLOW)
    tail = ball((-0.05 * size, 0.0, 0.05 * size), (0.02 * size, 0.016 * size, 0.014 * size), YELLOW)
    head = ball((0.03 * size, 0.0, 0.082 * size), (0.03 * size, 0.028 * size, 0.028 * size), YELLOW)
    beak = rod(0.052 * size, 0.075 * size, 0.078 * size, 0.013 * size, 0.007 * size, BEAK, flat=0.5)
    eyes = [
        ball((0.048 * size, side * 0.015 * size, 0.092 * size), (0.006 * size, 0.006 * size, 0.006 * size), EYE)
        for side in (-1.0, 1.0)
    ]
    return (body, tail, head, beak, *eyes)


def _annotation(mask: np.ndarray) -> dict:
    """What labelme saves for a mask, with the two keys that ReasonSeg adds."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    png = io.BytesIO()
    Image.fromarray(mask[top : bottom + 1, left : right + 1]).save(png, "PNG")
    shape = {
        "label": "target",
        "shape_type": "mask",
        "points": [[int(left), int(top)], [int(right), int(bottom)]],
        "mask": base64.b64encode(png.getvalue()).decode(),
    }
    height, width = mask.shape
    return {
        "text": list(QUESTIONS),
        "is_sentence": False,
        "shapes": [shape],
        "imageHeight": height,
        "imageWidth": width,
    }
