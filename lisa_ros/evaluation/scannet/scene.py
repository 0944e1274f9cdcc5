"""One scene: what is asked of it, and what came out. Everything here travels between machines."""

import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from lisa_ros.errors import ConfigurationError, LisaError, RecordingError
from lisa_ros.evaluation.replay.baselines import baselines
from lisa_ros.evaluation.replay.offline import run_offline
from lisa_ros.evaluation.replay.page import example_sheets
from lisa_ros.evaluation.replay.rows import ReplayRow
from lisa_ros.evaluation.replay.scan import Scan, ScanPaths
from lisa_ros.evaluation.replay.scoring import Scorer
from lisa_ros.evaluation.replay.summary import OFFLINE
from lisa_ros.evaluation.scannet.digests import content_digest, queries_digest
from lisa_ros.scannet.scene import SceneFiles
from lisa_ros.scannet.truth import BOUNDARY


@dataclass(frozen=True)
class Asking:
    """How a model is asked, as the node's parameters of these names say."""

    mode: str
    max_new_tokens: int


@dataclass(frozen=True)
class Scene:
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
        """Of `queries` and of `content` as they are now, as an Outcome holds them. Raises RecordingError."""
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
class Outcome:
    """What came of a scene.

    error: why there are no rows, "" where there are; details: the traceback of an error that nobody foresaw. rows: of
    the model and of the baselines. damaged: frame -> why it could not be asked about. model, weights: what was asked,
    as of `lisa_ros.evaluation.rows.Identity`. queries, content: digests of the scene's questions, and of its pictures
    and its truth. sheets: pictures of the worst, median and best answer, (H, W, 3) uint8.
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
    def from_json(cls, content: dict) -> "Outcome":
        """Raises ValueError, TypeError for what `as_json` did not make."""
        rows = tuple(ReplayRow(**row) for row in content["rows"])
        damaged = {int(frame): reason for frame, reason in content["damaged"].items()}
        return cls(**content | {"rows": rows, "damaged": damaged})


def read_scenes(
    path: Path, queries: Path | None = None, labels: Path | None = None, boundary: int = BOUNDARY
) -> list[Scene]:
    """The scenes of a text file: a `.sens` file or its folder on each line, relative to the file; # begins a comment.

    Raises ConfigurationError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    scenes: dict[str, Scene] = {}
    for number, line in enumerate(lines, start=1):
        word = line.split("#")[0].strip()
        if not word:
            continue
        scan = (path.parent / Path(word).expanduser()).absolute()
        name = scan.name.removesuffix(".sens")
        if name in scenes:
            raise ConfigurationError(f"{path}, line {number}: the scene {name} occurs twice")
        scenes[name] = Scene(name, scan, queries, labels, boundary)
    if not scenes:
        raise ConfigurationError(f"{path} names no scene; write a .sens file or its folder on each line")
    return list(scenes.values())


def evaluate_scene(lisa, weights: str, scene: Scene, asking: Asking) -> Outcome:
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
            return Outcome(
                scene.name, rows=tuple(rows), without_truth=scan.without_truth, damaged=damaged,
                model=lisa.provenance, weights=weights, sheets=sheets, **digests,
            )  # fmt: skip
    except LisaError as error:
        return Outcome(scene.name, error=str(error))
    except Exception as error:  # noqa: BLE001  a defect shows in the report and in the exit status; the other scenes go on
        return Outcome(scene.name, error=f"{type(error).__name__}: {error}", details=traceback.format_exc())
