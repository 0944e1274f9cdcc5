"""The packaged example: a simulated tabletop, recorded by a moving camera, with exact truth."""

import tempfile
from dataclasses import replace
from pathlib import Path

from lisa_ros.evaluation.files import convert_write_errors
from lisa_ros.evaluation.scans.scan import ScanPaths
from lisa_ros.scannet.scene_queries import read_queries, write_queries
from lisa_ros.scannet.tabletop import record_tabletop

_FRAMES, _QUERIES, _EVERY = 150, 8, 50


def example(folder: Path) -> ScanPaths:
    """Records it into a folder, unless that has been done; the same one every time.

    Asked about are pairs of consecutive frames, which show whether answers are steady. Raises ConfigurationError.
    """
    done = folder / "example" / "tabletop0000_00"
    if not done.exists():
        with convert_write_errors(done):
            done.parent.mkdir(parents=True, exist_ok=True)
            work = tempfile.TemporaryDirectory(prefix=".recording-", dir=done.parent)
        with work, convert_write_errors(done):  # under its name when all is in it, the queries of pairs of frames too
            recording = record_tabletop(Path(work.name), 0, _FRAMES, _QUERIES, _EVERY, progress=True)
            frames = tuple(sorted({frame + more for frame in range(0, _FRAMES, _EVERY) for more in (0, 1)}))
            write_queries(recording.queries, [replace(q, frames=frames) for q in read_queries(recording.queries)])
            recording.bag.parent.rename(done)
    return ScanPaths(done / "bag", boundary=0)  # its truth is exact at the edges too
