"""One scene: what is asked of it, and what came out. Everything here travels between machines."""

import hashlib
import json
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from lisa_ros.errors import ConfigurationError, LisaError, RecordingError
from lisa_ros.evaluation.scans.baselines import baselines
from lisa_ros.evaluation.scans.figures import OFFLINE
from lisa_ros.evaluation.scans.offline import run_offline
from lisa_ros.evaluation.scans.rows import ReplayRow
from lisa_ros.evaluation.scans.scan import Scan, ScanPaths
from lisa_ros.evaluation.scans.scoring import Scorer
from lisa_ros.evaluation.scans.sheets import example_sheets
from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.scene_files import SceneFiles
from lisa_ros.scannet.scene_queries import SceneQuery, read_queries
from lisa_ros.scannet.sens import SensReader
from lisa_ros.scannet.truth import BOUNDARY


@dataclass(frozen=True)
class GenerationOptions:
    """How a model is asked, as the node's parameters of these names say."""

    mode: str
    max_new_tokens: int


@dataclass(frozen=True)
class SceneJob:
    """A scan to evaluate. name: of the scan, which names its results. The other fields are as of `ScanPaths`."""

    name: str
    scan: Path
    queries: Path | None = None
    labels: Path | None = None
    boundary: int = BOUNDARY

    @property
    def queries_file(self) -> Path:
        """What is asked: `queries`, or the file in the scan's folder."""
        folder = self.scan if self.scan.is_dir() else self.scan.parent
        return self.queries or folder / "queries.jsonl"

    @property
    def digests(self) -> dict[str, str]:
        """Of `queries` and of `content` as they are now, as a SceneResult holds them. Raises RecordingError."""
        files = SceneFiles.find(self.scan, self.labels)
        return {
            "queries": queries_digest(self.queries_file, files.scene),
            "content": content_digest(files, self.queries_file),
        }

    @property
    def paths(self) -> ScanPaths:
        """For `Scan`."""
        return ScanPaths(None, self.queries_file, self.scan, self.labels, self.boundary)


@dataclass(frozen=True)
class SceneResult:
    """The result of one scene.

    Attributes:
        scene: Name of the scene.
        error: Why there are no rows, "" where there are.
        details: The traceback of an unforeseen error.
        rows: Of the model and of the baselines.
        without_truth: Questions about frames that say nothing about them.
        damaged: Frame -> why it could not be asked about.
        model: Name of the model, as in `EvaluationIdentity`.
        weights: Digest of its weights, as in `EvaluationIdentity`.
        queries: Digest of the scene's questions.
        content: Digest of its pictures and its truth.
        sheets: Pictures of the worst, median and best answer, (H, W, 3) uint8.
    """

    scene: str
    error: str = ""
    details: str = ""
    rows: tuple[ReplayRow, ...] = ()
    without_truth: int = 0
    damaged: Mapping[int, str] = field(default_factory=dict)
    model: str = ""
    weights: str = ""
    queries: str = ""
    content: str = ""
    sheets: Mapping[str, np.ndarray] = field(default_factory=dict)

    def as_json(self) -> dict:
        """For the scene's file; the sheets are left out."""
        content = {name: value for name, value in vars(self).items() if name != "sheets"}
        return content | {"rows": [asdict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, content: dict) -> "SceneResult":
        """Raises ValueError, TypeError for what `as_json` did not make."""
        rows = tuple(ReplayRow(**row) for row in content["rows"])
        damaged = {int(frame): reason for frame, reason in content["damaged"].items()}
        return cls(**content | {"rows": rows, "damaged": damaged})


def read_scenes(
    path: Path, queries: Path | None = None, labels: Path | None = None, boundary: int = BOUNDARY
) -> list[SceneJob]:
    """The scenes of a text file: a `.sens` file or its folder on each line, relative to the file; # begins a comment.

    Raises ConfigurationError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    scenes: dict[str, SceneJob] = {}
    for number, line in enumerate(lines, start=1):
        word = line.split("#")[0].strip()
        if not word:
            continue
        scan = (path.parent / Path(word).expanduser()).absolute()
        name = scan.name.removesuffix(".sens")
        if name in scenes:
            raise ConfigurationError(f"{path}, line {number}: the scene {name} occurs twice")
        scenes[name] = SceneJob(name, scan, queries, labels, boundary)
    if not scenes:
        raise ConfigurationError(f"{path} names no scene; write a .sens file or its folder on each line")
    return list(scenes.values())


def evaluate_scene(lisa, weights: str, scene: SceneJob, asking: GenerationOptions) -> SceneResult:
    """Asks everything about a scene, and scores it. Never raises: one scene must not take the others with it."""
    try:
        digests = scene.digests  # before they are read: an edit in between is found by the next run
        with tempfile.TemporaryDirectory() as folder, Scan(scene.paths) as scan:
            directory = Path(folder)
            scorer = Scorer(OFFLINE, scan, directory / "masks" / OFFLINE)
            others = {name: (make, Scorer(name, scan)) for name, make in baselines(scan).items()}
            damaged = run_offline(lisa, asking, scan, scorer, others)
            if not scorer.rows:
                frame, why = next(iter(damaged.items()))
                raise RecordingError(f"all {len(damaged)} frames that are asked about are damaged, as {frame}: {why}")
            rows = [row for one in (scorer, *(other for _, other in others.values())) for row in one.rows]
            sheets = example_sheets(scorer.rows, directory, scan)
            return SceneResult(
                scene.name, rows=tuple(rows), without_truth=scan.without_truth, damaged=damaged,
                model=lisa.provenance, weights=weights, sheets=sheets, **digests,
            )  # fmt: skip
    except LisaError as error:
        return SceneResult(scene.name, error=str(error))
    except Exception as error:  # noqa: BLE001  a defect shows in the report and in the exit status; the other scenes continue
        return SceneResult(scene.name, error=f"{type(error).__name__}: {error}", details=traceback.format_exc())


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
