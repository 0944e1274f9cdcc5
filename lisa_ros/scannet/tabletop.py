"""A simulated tabletop, filmed by a moving camera: ScanNet's file formats, a bag, queries and exact truth.

It takes the place of a ScanNet scan where none may be shipped: the same readers, converter, player and evaluation.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.progress import track
from lisa_ros.recordings.topics import STEP
from lisa_ros.scannet.annotations import AnnotatedObject, AnnotationWriter, Category
from lisa_ros.scannet.convert import convert
from lisa_ros.scannet.scene_files import LABELS, SceneFiles
from lisa_ros.scannet.scene_queries import SceneQuery, write_queries
from lisa_ros.scannet.sens import SensHeader
from lisa_ros.scannet.sens_writer import SensWriter
from lisa_ros.simulator import Scene, frame_rng, noisy_depth, scene_at, scene_queries
from lisa_ros.simulator.depth_noise import MODELS

HEIGHT, WIDTH = 480, 640
SPLIT = "heldout"  # scenes and wordings that the packaged model was not trained on
# Kinds of questions whose answer does not depend on where the camera stands.
_KINDS = {"category": "category", "attribute": "referring", "group": "referring", "affordance": "reasoning",
          "knowledge": "reasoning", "absent": "negative"}  # fmt: skip
_LOST_EVERY = 20  # one frame of so many has lost its pose, as in real scans, and is not annotated
_ON_TABLE = 0.005  # m


@dataclass(frozen=True)
class TabletopRecording:
    """Where everything lies: files in ScanNet's formats, queries.jsonl and the bag, all in one folder."""

    files: SceneFiles
    queries: Path
    bag: Path


def record_tabletop(
    out: Path,
    index: int = 0,
    frames: int = 60,
    queries: int = 12,
    ask_every: int = 10,
    storage: str = "mcap",
    progress: bool = False,
    depth_noise: str = "none",
) -> TabletopRecording:
    """Films scene `index` for `frames` frames at 30 a second, into the new folder `out/tabletop<index>_00`.

    queries: how many questions are asked, each in every `ask_every`th frame. depth_noise: a model of `noisy_depth`; the
    annotation stays exact. The same arguments give the same recording. The folder appears under its name when it is
    whole: nothing that was interrupted or killed is there. Raises ConfigurationError for a folder that exists or cannot
    be written, numbers out of range and an unknown model.
    """
    for name, value in (("frames", frames), ("ask_every", ask_every)):
        if value < 1:
            raise ConfigurationError(f"{name}={value} must be at least 1")
    if depth_noise not in MODELS:
        raise ConfigurationError(f"depth_noise={depth_noise!r}: choose one of {', '.join(MODELS)}")
    seed = TabletopDataset(SPLIT, index + 1).scene(index).seed
    name = f"tabletop{index:04d}_00"
    folder = Path(out) / name
    if folder.exists():
        raise ConfigurationError(f"cannot make {folder}: it exists already; remove it, or write to another folder")
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=f".{name}-", dir=out)
    except OSError as error:
        raise ConfigurationError(f"cannot make {folder}: {error.strerror}") from error
    with work:
        recording = _in_folder(Path(work.name) / name)
        recording.bag.parent.mkdir()
        first = _scene(seed, 0)
        bar = track(range(frames), description=f"filming {name}", unit="frame", active=progress)
        _film(recording.files, first, seed, bar, depth_noise)
        write_queries(recording.queries, _queries(name, first, queries, tuple(range(0, frames, ask_every))))
        convert(recording.files.sens, recording.bag, storage, progress)
        try:
            recording.bag.parent.rename(folder)
        except OSError as error:
            raise ConfigurationError(f"cannot make {folder}: {error.strerror}") from error
    return _in_folder(folder)


def _in_folder(folder: Path) -> TabletopRecording:
    name = folder.name
    files = SceneFiles(
        name, folder / f"{name}.sens", folder / f"{name}_2d-instance-filt.zip", folder / f"{name}_2d-label-filt.zip",
        folder / f"{name}.aggregation.json", folder / LABELS,
    )  # fmt: skip
    return TabletopRecording(files, folder / "queries.jsonl", folder / "bag")


def _scene(seed: int, frame: int) -> Scene:
    return scene_at(seed, _moment(frame), "camera", HEIGHT, WIDTH)


def _moment(frame: int) -> float:
    """Seconds of motion before a frame."""
    return frame * STEP / 1e9


def _film(files: SceneFiles, first: Scene, seed: int, frames, depth_noise: str):
    objects, categories = _objects(first)
    intrinsic = np.eye(4, dtype=np.float32)
    intrinsic[:3, :3] = first.intrinsics
    header = SensHeader(
        color_intrinsic=intrinsic, depth_intrinsic=intrinsic, color_size=(WIDTH, HEIGHT), depth_size=(WIDTH, HEIGHT),
        sensor="simulated tabletop (calibrated)",
    )  # fmt: skip
    with SensWriter(files.sens, header) as sens, AnnotationWriter(files, objects, categories) as annotation:
        for frame in frames:
            scene = _scene(seed, frame)
            lost = frame % _LOST_EVERY == _LOST_EVERY - 1
            measured = noisy_depth(scene.depth, scene.intrinsics, depth_noise, frame_rng(seed, _moment(frame)))
            depth = np.where(measured < 65.535, np.rint(measured * 1000.0), 0).astype(np.uint16)
            sens.add(scene.image, depth, None if lost else scene.camera_pose, stamp=frame * STEP // 1000)
            annotation.add(frame, np.zeros_like(scene.instances) if lost else _instances(scene))


def _objects(scene: Scene) -> tuple[list[AnnotatedObject], list[Category]]:
    """The things on the table, the table and the room as annotated objects, and a table of their labels."""
    named = [(f"{item.colour} {item.category}", item.category) for item in scene.objects]
    named += [("table", "table"), ("room", "room")]
    counts = Counter(named)
    categories = [Category(number, raw, category, count) for number, ((raw, category), count)
                  in enumerate(counts.items(), start=1)]  # fmt: skip
    return [AnnotatedObject(number, raw) for number, (raw, _) in enumerate(named)], categories


def _instances(scene: Scene) -> np.ndarray:
    """(H, W) uint8, objectId + 1 of every pixel: objects, then the table, then the room."""
    rows, columns = np.indices(scene.depth.shape)
    k, pose = scene.intrinsics, scene.camera_pose
    x, y = (columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1]
    height = scene.depth * (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]) + pose[2, 3]  # world z, 0 on the table
    table = len(scene.objects) + 1
    ground = np.where(np.abs(height) < _ON_TABLE, table, table + 1)
    return np.where(scene.instances > 0, scene.instances, ground).astype(np.uint8)


def _queries(name: str, scene: Scene, count: int, frames: tuple[int, ...]) -> list[SceneQuery]:
    kinds = {kind: 1.0 for kind in _KINDS if kind != "absent"}
    drawn = scene_queries(scene, np.random.default_rng((scene.seed, 2)), SPLIT, count, kinds=kinds)
    return [
        SceneQuery(name, f"{_KINDS[query.kind]}-{number:03d}", query.text, _KINDS[query.kind],
                   tuple(sorted(target - 1 for target in query.target_ids)), frames)
        for number, query in enumerate(drawn)
    ]  # fmt: skip
