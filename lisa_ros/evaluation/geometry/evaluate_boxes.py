"""Boxes of simulated objects from true and predicted masks, with clean and noisy depth, by both methods."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import NoDepthError
from lisa_ros.evaluation.geometry.box_errors import BoxErrors, OrientedBox, box_errors
from lisa_ros.evaluation.geometry.reference_boxes import plain_box, true_boxes
from lisa_ros.geometry import CameraModel, target_clouds
from lisa_ros.inference.engine import Lisa
from lisa_ros.progress import track
from lisa_ros.simulator import Scene, SceneObject, generate_scene, scene_queries
from lisa_ros.simulator.depth_noise import frame_rng, noisy_depth

SPLIT = "heldout"  # scenes and wordings that the packaged model was not trained on
MASKS = ("true", "predicted")
DEPTHS = ("clean", "noisy")
METHODS = ("lisa", "plain")
_QUESTIONS = 12  # drawn about a scene; those about one object are asked, each object once


@dataclass(frozen=True)
class BoxRow:
    """masks, depth, method: one of MASKS, DEPTHS, METHODS. scene: number. category: of the object that was meant.

    question: with predicted masks, what was asked.
    """

    masks: str
    depth: str
    method: str
    scene: int
    object_id: int
    category: str
    measure: BoxErrors
    question: str = ""

    @property
    def case(self) -> str:
        """As in the JSON file: "true_clean"."""
        return f"{self.masks}_{self.depth}"


@dataclass(frozen=True)
class MaskedObject:
    """An object with a mask (H, W) bool."""

    item: SceneObject
    mask: np.ndarray
    question: str = ""


def evaluate_geometry(
    numbers: range, size: tuple[int, int], noise: str, lisa: Lisa | None, *, progress: bool = False
) -> Iterator[BoxRow]:
    """Rows of the held-out scenes of these numbers.

    size: (width, height) in pixels. noise: model of `noisy_depth`. lisa: asked for masks; None: true masks only.
    The direction of gravity is not given: the support has to be found.
    """
    for number in track(numbers, description="scenes", unit="scene", active=progress):
        seed = TabletopDataset(SPLIT, number + 1).scene(number).seed
        scene = generate_scene(seed, size[1], size[0])
        truth = true_boxes(scene)
        cases = {"true": [MaskedObject(item, scene.mask(item.id)) for item in scene.objects if item.queryable]}
        if lisa is not None:
            cases["predicted"] = list(predicted_targets(scene, lisa))
        noisy = noisy_depth(scene.depth, scene.intrinsics, noise, frame_rng(scene.seed, 0.0))
        for masks, targets in cases.items():
            for depth, image in zip(DEPTHS, (scene.depth, noisy), strict=True):
                for method, function in zip(METHODS, (_lisa_box, _plain_box), strict=True):
                    for target in targets:  # one at a time, as if each were asked for alone
                        item = target.item
                        found = function(scene, target.mask, image, truth[item.id])
                        yield BoxRow(masks, depth, method, number, item.id, item.category, found, target.question)


def predicted_targets(scene: Scene, lisa: Lisa) -> Iterator[MaskedObject]:
    """What the model segments for questions that mean one object; no pixel where it refuses."""
    frame = lisa.encode(scene.image)
    rng = np.random.default_rng((scene.seed, zlib.crc32(b"geometry")))
    asked: set[int] = set()
    objects = {item.id: item for item in scene.objects}
    for query in scene_queries(scene, rng, SPLIT, _QUESTIONS, absent_share=0.0):
        if len(query.target_ids) != 1 or query.target_ids[0] in asked:
            continue
        asked.add(query.target_ids[0])
        mask = lisa.chat(frame, query.text).union_mask
        empty = np.zeros(scene.depth.shape, bool)
        yield MaskedObject(objects[query.target_ids[0]], empty if mask is None else mask, query.text)


def _lisa_box(scene: Scene, mask, depth, truth: OrientedBox) -> BoxErrors:
    pose = scene.camera_pose
    report = target_clouds([mask], depth, scene.image, _camera(scene), pose=pose, with_scene=False).reports[0]
    if report is None:
        return BoxErrors()
    box = OrientedBox(report.box_center, report.box_rotation, report.extents)
    return box_errors(box, report.points.astype(np.float64), truth, report.completed)


def _plain_box(scene: Scene, mask, depth, truth: OrientedBox) -> BoxErrors:
    rotation, shift = scene.camera_pose[:3, :3], scene.camera_pose[:3, 3]
    try:
        box, points = plain_box(mask, depth, _camera(scene))
    except NoDepthError:
        return BoxErrors()
    moved = OrientedBox(rotation @ box.center + shift, rotation @ box.axes, box.extents)
    return box_errors(moved, points @ rotation.T + shift, truth)


def _camera(scene: Scene) -> CameraModel:
    height, width = scene.depth.shape
    return CameraModel.from_matrix(scene.intrinsics, width, height)
