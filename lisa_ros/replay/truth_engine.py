"""Truth in the model's place: what the real node is given to say when its own path is on trial.

Frames are known by their pixels alone, questions by their words: whatever the path changes, delays or mixes up shows
as an unknown image or a wrong mask.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lisa_ros.errors import ConfigurationError, InvalidImageError, InvalidQueryError
from lisa_ros.evaluation.scans.scan import Scan, ScanPaths
from lisa_ros.model.query_text import normalise
from lisa_ros.recordings.topics import RgbdTopics
from lisa_ros.scannet.truth import resize_nearest
from lisa_ros.types import SEGMENTED, Finished, MaskReady, SegmentationResult, Target, TextDelta

_PLACES = ("bag", "queries", "scan", "labels")
_OPTIONS = ("boundary", "depth_registration")


@dataclass(frozen=True)
class _Frame:
    index: int


class TruthEngine:
    """Answers the queries of a recording with their true masks. settings.model: file that `write_paths` wrote.

    Raises ConfigurationError, RecordingError.
    """

    device = "cpu"
    provenance = "truth"

    def __init__(self, settings):
        self._scan = Scan(read_paths(Path(settings.model)))
        self._frames: dict[str, int] = {}
        for frame in self._scan.sens_frames(set(self._scan.frames)):
            known = self._frames.setdefault(_key(frame.color()), frame.index)
            if known != frame.index:
                raise ConfigurationError(
                    f"frames {known} and {frame.index} of {self._scan.scene} have the same pixels, so that they cannot "
                    "be distinguished; ask about one of them"
                )

    def memory(self) -> dict[str, int]:
        """None worth telling."""
        return {}

    def encode(self, image: np.ndarray) -> _Frame:
        """Raises InvalidImageError for an image that is not to the pixel one of the frames that are asked about."""
        index = self._frames.get(_key(image))
        if index is None:
            raise InvalidImageError(f"this image is none of the {len(self._frames)} frames that are asked about")
        return _Frame(index)

    def segment(self, frame: _Frame, text: str, **_) -> SegmentationResult:
        """The true masks, one for each object."""
        asked, queries = normalise(text), self._scan.queries
        query = next((q for q in queries if normalise(q.text) == asked and q.asks_about(frame.index)), None)
        if query is None:
            raise InvalidQueryError(f"frame {frame.index} is not asked {text!r}")
        instances = self._scan.annotation.instances(frame.index)
        size = self._scan.color_size
        found = [(number, resize_nearest(instances, size) == number + 1) for number in query.object_ids]
        targets = tuple(
            Target(self._scan.annotation.objects[number].label, SEGMENTED, mask, mean_probability=1.0)
            for number, mask in found
            if mask.any()
        )
        return SegmentationResult(text, ", ".join(target.phrase for target in targets) or "nothing", targets)

    def stream(self, frame: _Frame, text: str, **_):
        """As an engine answers in words."""
        result = self.segment(frame, text)
        yield TextDelta(result.answer)
        for index, target in enumerate(result.targets):
            yield MaskReady(index, target)
        yield Finished(result)


def write_paths(path: Path, paths: ScanPaths):
    """Writes what TruthEngine reads, in the place of a checkpoint."""
    words = {name: value and str(Path(value).absolute()) for name, value in vars(paths).items() if name in _PLACES}
    words |= {"topics": asdict(paths.topics), **{name: getattr(paths, name) for name in _OPTIONS}}
    path.write_text(json.dumps(words) + "\n", encoding="utf-8")


def read_paths(path: Path) -> ScanPaths:
    """As `write_paths` wrote them. Raises ConfigurationError."""
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        places = {name: words[name] and Path(words[name]) for name in _PLACES}
        settings = {name: words[name] for name in _OPTIONS}
        return ScanPaths(**places, **settings, topics=RgbdTopics(**words["topics"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path} does not say where a recording lies: {error}") from error


def _key(image: np.ndarray) -> str:
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
