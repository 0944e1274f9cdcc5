"""A small recording of the simulated tabletop: a bag, a `.sens` file, annotation and queries in one folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from lisa_ros.evaluation.scans.scan import ScanPaths
from lisa_ros.geometry.reprojection import reproject_depth
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.topics import MANIFEST, OPTICAL_FRAME, START
from lisa_ros.scannet import tabletop
from lisa_ros.scannet.scene_queries import read_queries, write_queries

_KINDS = ("category", "referring", "negative")


def film(folder, index):
    """Four frames of 192x144 px, the last one without a pose; a query of three kinds in each."""
    patch = pytest.MonkeyPatch()
    for name, value in {"HEIGHT": 144, "WIDTH": 192, "_LOST_EVERY": 4}.items():
        patch.setattr(tabletop, name, value)
    recording = tabletop.record_tabletop(folder, index=index, frames=4, queries=24)
    patch.undo()
    queries = read_queries(recording.queries)
    chosen = [next(query for query in queries if query.kind == kind) for kind in _KINDS]
    write_queries(recording.queries, [replace(query, frames=(0, 1, 2, 3)) for query in chosen])
    return recording


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """A recording with its bag."""
    return ScanPaths(film(tmp_path_factory.mktemp("replay"), 2).bag, boundary=0)


@pytest.fixture(scope="session")
def scenes_file(tmp_path_factory):
    """Three scans, and a file that lists them."""
    folder = tmp_path_factory.mktemp("scenes")
    scans = [film(folder, index).bag.parent for index in (2, 3, 4)]
    (folder / "scenes.txt").write_text("# three of them\n" + "".join(f"{scan.name}\n" for scan in scans))
    return folder / "scenes.txt"


@pytest.fixture
def write_lines(tmp_path):
    """write_lines(rows) -> path of a queries file."""

    def write(rows):
        path = tmp_path / "queries.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def two_lenses(paths, tmp_path_factory):
    """The same recording by a camera whose depth lens stands 5 cm beside the colour lens."""
    folder = tmp_path_factory.mktemp("two_lenses")
    for file in paths.bag.parent.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    types = messages.typestore()
    place = np.eye(4)
    place[0, 3] = 0.05
    with RgbdBag(paths.bag) as bag, Writer(folder / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {**bag.topics, "/tf_static": messages.TF}
        ways = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in topics.items()}
        fixed = messages.transform(place, START, OPTICAL_FRAME, "depth_lens")
        writer.write(ways["/tf_static"], START, messages.pack(fixed, messages.TF))
        for frame in bag.frames():
            camera = frame.camera.scaled(*frame.depth().shape[::-1])
            seen = reproject_depth(frame.depth(), camera, camera, np.linalg.inv(place))
            changed = {
                "depth": messages.compressed_depth(np.rint(seen * 1000).astype(np.uint16), frame.stamp, "depth_lens"),
                "depth_info": messages.camera_info(camera, frame.stamp, "depth_lens"),
            }
            for role in ("tf", "camera_info", "depth_info", "depth", "image"):
                if (message := frame.messages.get(role)) is not None:
                    data = messages.pack(changed[role], message.type) if role in changed else message.data
                    writer.write(ways[message.topic], message.time, data)
        (folder / "bag" / MANIFEST).write_text(json.dumps(bag.manifest))
    return replace(paths, bag=folder / "bag")
