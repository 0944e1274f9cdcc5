"""The camera's pose in the world, out of the transforms of a bag: tf2's tree, as far as the camera needs it."""

import itertools
import logging
import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lisa_ros.geometry.poses import pose_matrix, quaternion_of
from lisa_ros.recordings.messages import transforms_of
from lisa_ros.sensor_messages.depth_registration import plain_frame

TOLERANCE = 1_000_000  # ns by which a transform's stamp may differ from the image's
LONGEST_GAP = 250_000_000  # ns between two transforms that are interpolated
# Fixed frames by REP 105. The parent of any other name may move itself: a camera's mount, a robot's base_link or base.
_WORLDS = frozenset(("earth", "map", "odom", "world"))
_AFTER_WORLD = frozenset(("frame", "combined", "enu", "ned"))  # what may follow: "odom_frame", but no "world_marker"
_KEPT = 3_000_000_000  # ns of the bag's time that transforms are kept for at most, but for the last one

Edge = tuple[str, str]  # child, parent
_log = logging.getLogger(__name__)


class CameraPose(NamedTuple):
    """matrix: (4, 4) float64 frame <- optical frame, m. frame: what it is given in. message: that said it last."""

    matrix: np.ndarray
    frame: str
    message: object | None


class PoseFinder:
    """Takes a bag's transforms in the order of time, and gives the pose of a camera at a stamp.

    moving: every edge of the whole bag's /tf. fixed: edge -> (4, 4) of /tf_static. world: frame in which poses are
    wanted; "" for the topmost one that is fixed by its name. interpolate: between two transforms where none has the
    stamp. What cannot be decided, as the root of a camera's mount or a frame with two parents, gives no pose, and a
    warning says why.
    """

    def __init__(self, moving: Iterable[Edge], fixed: dict[Edge, np.ndarray], world: str, interpolate: bool) -> None:
        self._moving, self._fixed = set(moving), {e: m for e, m in fixed.items()}
        self._world, self._interpolate = plain_frame(world), interpolate
        self._chains: dict[str, tuple[Edge, ...] | None] = {}
        self._ways: dict[tuple[str, str], tuple[tuple[Edge, ...], tuple[Edge, ...]] | None] = {}
        self._series: dict[Edge, deque] = {edge: deque() for edge in self._moving}  # (stamp, pose or None, message)

    def add(self, message) -> None:
        """Files the transforms of a bag's message."""
        for edge, stamp, pose in transforms_of(message.message):
            series = self._series[edge]
            series.append((stamp, pose, message))
            while len(series) > 1 and series[1][2].time < message.time - _KEPT:  # whatever their stamps say
                series.popleft()

    def forget_before(self, stamp: int, time: int) -> None:
        """Drops transforms that no image of this stamp (ns) or a later one needs, and that were recorded by `time`."""
        for series in self._series.values():
            while len(series) > 1 and series[1][0] < stamp - TOLERANCE and series[1][2].time <= time:
                series.popleft()

    def pose_at(self, frame: str, stamp: int) -> CameraPose | None:
        """The pose of a frame; None where it is not known at this stamp (ns)."""
        frame = plain_frame(frame)
        if frame not in self._chains:
            self._chains[frame] = self._chain(frame)
        chain = self._chains[frame]
        if chain is None and self._world:  # it may hang below the camera, or beside it
            matrix = self.between(self._world, frame, stamp)
            return None if matrix is None else CameraPose(matrix, self._world, None)
        found = self._along(chain, stamp) if chain else None
        return None if found is None else CameraPose(found[0], chain[-1][1], found[1])

    def between(self, target: str, source: str, stamp: int) -> np.ndarray | None:
        """(4, 4) target <- source at a stamp (ns), over the lowest frame that is above both.

        None where they are one frame, and where it is not known: without a way from one to the other, or with several.
        """
        frames = plain_frame(target), plain_frame(source)
        if frames[0] == frames[1] or not all(frames):
            return None
        if frames not in self._ways:
            self._ways[frames] = self._way(*frames)
        if self._ways[frames] is None:
            return None
        first, second = (self._along(chain, stamp) for chain in self._ways[frames])
        return None if first is None or second is None else np.linalg.inv(first[0]) @ second[0]

    def _along(self, chain: tuple[Edge, ...], stamp: int) -> tuple[np.ndarray, object] | None:
        """(4, 4) the chain's top <- its bottom, and the lowest moving edge's message; None where an edge is unknown."""
        matrix, last = np.eye(4), None
        for edge in chain:
            found = (self._fixed[edge], None) if edge not in self._moving else self._moved(edge, stamp)
            if found is None:
                return None
            matrix, last = found[0] @ matrix, last or found[1]
        return matrix, last

    def _way(self, target: str, source: str) -> tuple[tuple[Edge, ...], tuple[Edge, ...]] | None:
        """Edges from each of two frames up to the lowest one above both."""
        ways = set()
        for one, other in itertools.product(self._paths(target, ()), self._paths(source, ())):
            above_target = (target, *(parent for _, parent in one))
            above_source = (source, *(parent for _, parent in other))
            common = next((frame for frame in above_target if frame in above_source), None)
            if common is not None:
                ways.add((one[: above_target.index(common)], other[: above_source.index(common)]))
        if len(ways) > 1:
            _log.warning("transforms lead from %s to %s on several ways: where one is in the other is not known",
                         source, target)  # fmt: skip
        return ways.pop() if len(ways) == 1 else None

    def _moved(self, edge: Edge, stamp: int) -> tuple[np.ndarray, object] | None:
        series = self._series[edge]
        nearest = min(series, key=lambda entry: abs(entry[0] - stamp), default=None)
        if nearest is None:
            return None
        near = (nearest[1], nearest[2]) if abs(nearest[0] - stamp) <= TOLERANCE else None
        if nearest[0] == stamp or not self._interpolate or (near and near[0] is None):
            return near if near and near[0] is not None else None
        before = max((e for e in series if e[0] < stamp), key=lambda e: e[0], default=None)
        after = min((e for e in series if e[0] > stamp), key=lambda e: e[0], default=None)
        if before is None or after is None or after[0] - before[0] > LONGEST_GAP:
            return near
        if before[1] is None or after[1] is None:  # tracking was lost there
            return near
        share = (stamp - before[0]) / (after[0] - before[0])
        return interpolated(before[1], after[1], share), after[2]

    def _chain(self, frame: str) -> tuple[Edge, ...] | None:
        """Edges from a frame up to the world; None, and a warning why."""
        paths = [path for path in self._paths(frame, ()) if path]
        chains = {chain for path in paths if (chain := self._cut(path))}
        if len(chains) == 1:
            return chains.pop()
        if self._world and not chains and self._way(self._world, frame) is not None:
            return None
        if not paths:
            _log.warning("no transform of the bag says where %s is: frames have no pose", frame)
        if paths:
            tops = ", ".join(sorted({chain[-1][1] for chain in chains or paths}))
            why = "on several ways" if chains else f"and not to {self._world or 'a frame that is fixed by its name'}"
            _log.warning("transforms lead from %s to %s, %s: frames have no pose; name the frame in which poses are "
                         "wanted (world_frame)", frame, tops, why)  # fmt: skip
        return None

    def _cut(self, path: tuple[Edge, ...]) -> tuple[Edge, ...]:
        """The path up to its topmost world, empty without one."""
        ends = [number for number, (_, parent) in enumerate(path, start=1) if self._is_world(parent)]
        return path[: ends[-1]] if ends else ()

    def _is_world(self, frame: str) -> bool:
        """Whether a frame is the wanted one, or fixed by its name, with whatever prefix: "robot1/map", "t265_odom"."""
        if self._world:
            return frame == self._world
        words = re.split("[/_]", frame)
        while len(words) > 1 and words[-1] in _AFTER_WORLD:
            words.pop()
        return words[-1] in _WORLDS

    def _paths(self, frame: str, below: tuple[Edge, ...]) -> Iterable[tuple[Edge, ...]]:
        """Every way up from a frame to a root."""
        edges = sorted(edge for edge in self._moving | self._fixed.keys() if edge[0] == frame)
        visited = {edge[0] for edge in below}
        edges = [edge for edge in edges if edge[1] not in visited and edge[1] != frame]
        if not edges:
            yield below
        for edge in edges:
            yield from self._paths(edge[1], (*below, edge))


def interpolated(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """(4, 4) between two poses, as tf2 does it: the place on a line, the turn on the shortest arc. share: 0..1."""
    first, second = (np.array(quaternion_of(pose[:3, :3])) for pose in (before, after))
    dot = float(first @ second)
    second, dot = (-second, -dot) if dot < 0 else (second, dot)
    angle = np.arccos(min(dot, 1.0))
    weights = (1 - share, share) if angle < 1e-6 else (np.sin((1 - share) * angle), np.sin(share * angle))
    place = (1 - share) * before[:3, 3] + share * after[:3, 3]
    return pose_matrix((*place, *(weights[0] * first + weights[1] * second)))
