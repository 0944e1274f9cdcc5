"""A small recording of the simulated tabletop: a bag, a `.sens` file, annotation and queries in one folder."""

import json
from dataclasses import replace

import pytest

from lisa_ros.evaluation.scans.scan import ScanPaths
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
