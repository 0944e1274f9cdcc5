"""What is asked about a recording, frame by frame, with the truth of each question."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lisa_ros.errors import RecordingError
from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.queries import SceneQuery, read_queries
from lisa_ros.scannet.scene import SceneFiles
from lisa_ros.scannet.truth import FrameTruth, frame_truth


@dataclass(frozen=True)
class ReplayFiles:
    """A scan with its annotation, the bag made of it, and the questions."""

    files: SceneFiles
    bag: Path
    queries: Path

    @classmethod
    def find(cls, scene: Path, bag: Path | None = None, queries: Path | None = None) -> "ReplayFiles":
        """By default bag/ and queries.jsonl beside the scan, where `lisa-ros record` writes them.

        Raises RecordingError.
        """
        files = SceneFiles.find(scene)
        found = cls(files, bag or files.sens.parent / "bag", queries or files.sens.parent / "queries.jsonl")
        for path in (found.bag, found.queries):
            if not path.exists():
                raise RecordingError(f"there is no {path}; name it, or make it with `lisa-ros scannet convert|queries`")
        return found


@dataclass(frozen=True)
class AskedScene:
    """An open annotation with the questions about it."""

    annotation: Annotation
    queries: Sequence[SceneQuery]

    def truths(
        self, frame: int, pose: np.ndarray | None, size: tuple[int, int], *, any_frame: bool = False
    ) -> Iterator[tuple[SceneQuery, FrameTruth]]:
        """The questions asked in a frame, with their truth; none where the frame says nothing about them.

        pose: of the camera, None where it is lost. size: (width, height) of the image. any_frame: also those that the
        queries file asks in other frames.
        """
        for query in self.queries:
            if any_frame or query.asks_about(frame):
                truth = frame_truth(self.annotation, query, frame, pose, size)
                if truth is not None:
                    yield query, truth


@contextmanager
def open_scene(files: ReplayFiles) -> Iterator[AskedScene]:
    """Raises RecordingError for an annotation or queries that are damaged, and where nothing is asked."""
    with Annotation(files.files) as annotation:
        queries = read_queries(files.queries, annotation)
        if not queries:
            raise RecordingError(f"{files.queries} asks nothing about {annotation.scene}")
        yield AskedScene(annotation, queries)
