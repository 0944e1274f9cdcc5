"""A recording with its truth: bag, `.sens` file, annotation and queries as one thing."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lisa_ros.errors import RecordingError
from lisa_ros.model.query_text import normalise
from lisa_ros.progress import ProgressBar
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.topics import RgbdTopics, index_of_stamp, stamp_of_index
from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.convert import require_convertible
from lisa_ros.scannet.scene_files import SceneFiles
from lisa_ros.scannet.scene_queries import SceneQuery, read_queries
from lisa_ros.scannet.sens import SensFrame, SensReader, pose_problem
from lisa_ros.scannet.truth import BOUNDARY, FrameTruth, frame_truth
from lisa_ros.sensor_messages.depth_registration import REFUSE


@dataclass(frozen=True)
class ScanPaths:
    """Where a recording lies.

    bag: as `lisa-ros scannet convert` or `lisa-ros record` writes it; None to go without, which needs `queries` and
    `scan`. queries: None for queries.jsonl beside the bag. scan: the `.sens` file or its folder; None for the file that
    the bag was made of, beside the bag or its queries. labels: label table, None to look for it. boundary: px around
    the truth's edges that are not scored. topics: of the bag. depth_registration: as of `RgbdBag`.
    """

    bag: Path | None
    queries: Path | None = None
    scan: Path | None = None
    labels: Path | None = None
    boundary: int = BOUNDARY
    topics: RgbdTopics = field(default_factory=RgbdTopics)
    depth_registration: str = REFUSE


@dataclass(frozen=True)
class Case:
    """A query in one frame in which it has a truth."""

    query: SceneQuery
    frame: int

    @property
    def stamp(self) -> int:
        """ns, of the frame in the bag."""
        return stamp_of_index(self.frame)


class Scan:
    """An open recording; a context manager. cases: what can be asked and scored, frame by frame. bag: None without one.

    without_truth: how often a query asks about a frame that says nothing about it (no pose, hardly in view, left out of
    the bag). Raises RecordingError for files that are missing, damaged, or do not belong together.
    """

    def __init__(self, paths: ScanPaths):
        self.paths = paths
        with ExitStack() as stack:
            self.bag = stack.enter_context(_open(paths)) if paths.bag is not None else None
            files, queries = self._find()
            self._sens = stack.enter_context(SensReader(files.sens))
            self._unusable = self._check_bag(files) if self.bag is not None else self._check_sens()
            self._annotation = stack.enter_context(Annotation(files))
            self.queries = read_queries(queries, self._annotation)
            self._check_frames(queries)
            self.without_truth = 0
            self.cases = self._find_cases()
            if not self.cases:
                raise RecordingError(
                    f"{queries} asks nothing about {files.scene} that can be scored ({len(self.queries)} queries, "
                    f"{self.without_truth} times without a truth)"
                )
            self._close = stack.pop_all().close

    def __enter__(self) -> "Scan":
        return self

    def __exit__(self, *_):
        self._close()

    @property
    def scene(self) -> str:
        """Its name."""
        return self._annotation.scene

    @property
    def color_size(self) -> tuple[int, int]:
        """(width, height) of the colour images."""
        return self._sens.header.color_size

    @property
    def annotation(self) -> Annotation:
        """Objects, categories and instance images."""
        return self._annotation

    @property
    def frames(self) -> list[int]:
        """The frames that are asked about, in order."""
        return sorted({case.frame for case in self.cases})

    def number(self, query: SceneQuery) -> int:
        """Place of a query in its file: a name for files, whatever its id is made of."""
        return self.queries.index(query)

    def truth(self, query: SceneQuery, frame: int) -> FrameTruth | None:
        """The truth at the colour image's size; None where the frame says nothing about the query."""
        if frame in self._unusable:
            return None
        # Only whether there is a pose matters here.
        truth = frame_truth(self._annotation, query, frame, np.eye(4), self.color_size, boundary=self.paths.boundary)
        # A thing as thin as the ignored band around its edge has nothing left to score.
        return None if truth is None or (query.object_ids and not (truth.labels == 1).any()) else truth

    def sens_frames(self, wanted: set[int]) -> Iterator[SensFrame]:
        """Frames of the `.sens` file, in order."""
        return self._sens.frames(wanted)

    def _find(self) -> tuple[SceneFiles, Path]:
        """The scan's files and its queries file."""
        paths = self.paths
        if paths.bag is None:
            files = SceneFiles.find(paths.scan, paths.labels)
            return files, paths.queries
        beside_bag = Path(paths.bag).absolute().parent
        queries = paths.queries or beside_bag / "queries.jsonl"
        if paths.scan is not None:
            return SceneFiles.find(paths.scan, paths.labels), queries
        source = self.bag.manifest.get("source")
        if not source:
            raise RecordingError(
                f"{paths.bag} has no manifest.json that names its .sens file, so its frames cannot be identified; "
                "make the bag with `lisa-ros scannet convert`"
            )
        places = [beside_bag, queries.absolute().parent]
        found = next((place / source for place in places if (place / source).is_file()), None)
        if found is None:
            raise RecordingError(f"{source}, of which {paths.bag} was made, is in neither {places}; give --scan")
        return SceneFiles.find(found, paths.labels), queries

    def _check_bag(self, files: SceneFiles) -> set[int]:
        """Frames that cannot be used. Raises RecordingError where the bag is not of these files."""
        manifest = self.bag.manifest
        if manifest.get("scene") != files.scene or manifest.get("frames") != len(self._sens):
            raise RecordingError(
                f"{self.paths.bag} is of {manifest.get('scene')} with {manifest.get('frames')} frames, "
                f"{files.sens} has {len(self._sens)}: convert the .sens file again"
            )
        if self.paths.depth_registration == REFUSE and (differs := self.bag.depth_difference()):
            raise RecordingError(
                f"{self.paths.bag}: depth is not registered to the image: {differs}: --depth-registration register "
                "brings it there, trust takes it for registered where only the driver's names differ"
            )
        first = next(self.bag.frames(), None)
        if first is not None and index_of_stamp(first.stamp) is None:
            raise RecordingError(
                f"{self.paths.bag}: the image at {first.stamp} ns is stamped otherwise than its manifest.json says, so "
                "that its frame cannot be identified; convert the .sens file again"
            )
        try:
            poses = manifest["poses"]
            return {*poses["lost"], *poses["implausible"], *(skipped["frame"] for skipped in manifest["skipped"])}
        except (KeyError, TypeError) as error:
            raise RecordingError(
                f"{self.paths.bag}: its manifest.json does not list lost poses and skipped frames ({error!r}); "
                "convert the .sens file again"
            ) from error

    def _check_sens(self) -> set[int]:
        """Frames that cannot be used, as far as known without reading images. Raises RecordingError."""
        require_convertible(self._sens)
        return {index for index, pose in enumerate(self._sens.poses()) if pose_problem(pose)}

    def _check_frames(self, path: Path):
        """Raises RecordingError for a query about a frame that the scan has not."""
        count = len(self._sens)
        for query in self.queries:
            unknown = [frame for frame in (*(query.frames or ()), *(query.window or ())[:1]) if frame >= count]
            if unknown:
                raise RecordingError(
                    f"{path}: {query.query_id!r} asks about frame {unknown[0]}, but {self.scene} has {count} frames, "
                    "counted from 0"
                )

    def _find_cases(self) -> list[Case]:
        cases: list[Case] = []
        for frame in range(len(self._sens)):
            asked: set[str] = set()
            for query in self.queries:
                if not query.asks_about(frame):
                    continue
                text = normalise(query.text)  # as a model is asked
                if text in asked:
                    raise RecordingError(f"frame {frame} of {self.scene} is asked {text!r} twice; ask it once")
                asked.add(text)
                if self.truth(query, frame) is None:
                    self.without_truth += 1
                else:
                    cases.append(Case(query, frame))
        return cases


def cases_by_frame(scan: Scan) -> dict[int, list[Case]]:
    """Frame -> its cases, in the order of the queries."""
    cases = defaultdict(list)
    for case in scan.cases:
        cases[case.frame].append(case)
    return dict(cases)


def question_bar(scan: Scan, name: str) -> ProgressBar:
    """Progress over all cases, on stderr."""
    return ProgressBar(len(scan.cases), description=f"{scan.scene} {name}", unit="question")


def _open(paths: ScanPaths) -> RgbdBag:
    return RgbdBag(paths.bag, paths.topics, depth_registration=paths.depth_registration)
