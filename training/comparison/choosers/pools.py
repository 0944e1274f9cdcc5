"""The masks that systems choose among: objects of a scene with noise, and those of Segment Anything's generator."""

import json
from dataclasses import asdict

import cv2
import numpy as np

from lisa_ros.geometry.proposals import Proposal, Proposals
from lisa_ros.model.proposals import CandidateProvider
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.saving import write_atomically
from lisa_ros.simulator import Scene
from training.comparison.choosers.config import ChooserComparisonConfig, PoolConfig

NOISY_TRUTH, GENERATOR = "noisy truth", "generator"
POOLS = (NOISY_TRUTH, GENERATOR)
_SMALLEST = 12  # pixels of a proposal
_NEAR = 40.0  # px between the centres of objects that may be proposed as one


def noisy_truth(options: PoolConfig, scene: Scene) -> Proposals:
    """Proposals as a fair generator might make them: always the same ones for a scene, the largest first."""
    rng = np.random.default_rng((scene.seed, 5))
    objects = [one for one in scene.objects if one.pixels >= _SMALLEST]
    masks = []
    for item in objects:
        whole = scene.mask(item.id)
        if rng.random() >= options.dropped:
            masks.append(_moved_edge(whole, int(rng.integers(-options.edge, options.edge + 1))))
        if rng.random() < options.parts:
            masks.append(_half(whole, item.centroid, rng))
        near = [one for one in objects if one.id > item.id and _distance(one.centroid, item.centroid) < _NEAR]
        if near and rng.random() < options.joined:
            masks.append(whole | scene.mask(near[int(rng.integers(len(near)))].id))
    masks += [_ellipse(scene, rng) for _ in range(options.background)]
    height, width = scene.instances.shape
    kept = [mask for mask in masks if np.count_nonzero(mask) >= _SMALLEST]
    return Proposals.from_masks(kept, height, width).largest(options.options().limit)


def generated(config: ChooserComparisonConfig, sam: SegmentAnything, scene: Scene) -> Proposals:
    """The generator's masks of a scene; kept in run_dir, so that they are made once for all systems."""
    path = config.run_dir / "proposals" / f"{scene.seed}.json"
    if path.is_file():
        values = json.loads(path.read_text(encoding="utf-8"))
        items = tuple(Proposal(**{key: _plain(value) for key, value in item.items()}) for item in values["items"])
        return Proposals(values["height"], values["width"], items)
    found = CandidateProvider(sam, config.pools.options()).propose(scene.image)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(found))
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return found


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _moved_edge(mask: np.ndarray, by: int) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(by) + 1, 2 * abs(by) + 1))
    change = cv2.dilate if by > 0 else cv2.erode
    return change(mask.astype(np.uint8), kernel).astype(bool)


def _half(mask: np.ndarray, centroid: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """What lies on one side of a line through the centre."""
    angle = rng.uniform(0, 2 * np.pi)
    v, u = np.indices(mask.shape)
    return mask & ((u - centroid[0]) * np.cos(angle) + (v - centroid[1]) * np.sin(angle) > 0)


def _ellipse(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Of the table, without the objects on it."""
    height, width = scene.instances.shape
    canvas = np.zeros((height, width), np.uint8)
    centre = int(rng.integers(width)), int(rng.integers(height))
    axes = int(rng.integers(8, 32)), int(rng.integers(8, 32))
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(bool) & (scene.instances == 0)


def _distance(first: tuple[float, float], second: tuple[float, float]) -> float:
    return float(np.hypot(first[0] - second[0], first[1] - second[1]))
