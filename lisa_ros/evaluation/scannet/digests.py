"""What a scene's results depend on besides the model: digests that tell whether they still hold."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.queries import SceneQuery, read_queries
from lisa_ros.scannet.scene import SceneFiles
from lisa_ros.scannet.sens import SensReader


def queries_digest(path: Path, scene: str) -> str:
    """Of the questions of one scene; what a file asks about others does not count. Raises RecordingError."""
    return _hexdigest(asdict(query) for query in _queries(path, scene))


def content_digest(files: SceneFiles, queries: Path) -> str:
    """Of pictures, depth, poses, annotated objects and their pixels, in the frames that are asked about.

    Raises RecordingError.
    """
    asked = _queries(queries, files.scene)
    with SensReader(files.sens) as reader, Annotation(files) as annotation:
        objects = [(asdict(item), asdict(annotation.categories[item.label])) for item in annotation.objects.values()]
        parts: list[object] = [objects, sorted((name, repr(value)) for name, value in vars(reader.header).items())]
        frames = {frame for frame in range(len(reader)) if any(query.asks_about(frame) for query in asked)}
        for frame in reader.frames(frames):
            data = (frame.pose.tobytes(), frame.color_data, frame.depth_data, *annotation.data(frame.index))
            parts.append((frame.index, [hashlib.sha256(part).hexdigest() for part in data]))
    return _hexdigest(parts)


def _queries(path: Path, scene: str) -> list[SceneQuery]:
    return [query for query in read_queries(path) if query.scene == scene]


def _hexdigest(parts: Iterable[object]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(json.dumps(part).encode() + b"\n")
    return total.hexdigest()
