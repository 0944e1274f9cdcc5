"""What the page shows, as plain data in one place: the node writes it, the page draws it. Thread-safe."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from lisa_ros.types import Target

HISTORY = 30  # queries that are kept, with picture and clouds
RUNNING = ""  # status of a query without a result yet
NO_RESULT = "NO RESULT"  # status of a query that will have none, because of the node or the network
PROGRAM, STANDING = "asked by another program", "standing query"
GOOD, FAIR = ("OK",), ("NO_TARGET", "NO_DEPTH", "NO_TRANSFORM", "CANCELLED")  # the others are errors


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class LocatedTarget:
    """A target in space. Coordinates in `SpatialView.frame_id`, m.

    Attributes:
        index: Its place among the targets of the query.
        label: Its words.
        pose: (4, 4) of its box.
        extents: (3,) full lengths of the box.
        grasp: (4, 4) midpoint between the closed fingertips, y along which they close, z down into the object; None
            where none is known.
        grasp_width: Between the fingers.
        warnings: What speaks against grasping, each "key: explanation".
    """

    index: int
    label: str
    pose: np.ndarray
    extents: np.ndarray
    grasp: np.ndarray | None = None
    grasp_width: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SpatialView:
    """What a query found in space.

    Attributes:
        frame_id: Frame of all coordinates.
        is_optical: Whether that is an optical frame: z forward, y down.
        points: (N, 3) float32 m, of the targets.
        colors: (N, 3) uint8 RGB.
        scene_points: (M, 3) float32 m, of all else.
        scene_colors: (M, 3) uint8 RGB.
        located: The targets with a box.
        support: (4, 4) pose of the plane below them, z up; None without one.
        camera: (4, 4) frame_id <- optical frame of the camera; None where it is not known.
        vertical_fov: rad; 0 where the calibration is not known.
    """

    frame_id: str
    is_optical: bool
    points: np.ndarray
    colors: np.ndarray
    scene_points: np.ndarray
    scene_colors: np.ndarray
    located: tuple[LocatedTarget, ...] = ()
    support: np.ndarray | None = None
    camera: np.ndarray | None = None
    vertical_fov: float = 0.0


@dataclass(frozen=True, eq=False)
class QueryRecord:
    """One query of the history, while it runs and afterwards.

    Attributes:
        number: Counts the queries of this console, from 1.
        query: The words; of phrases all of them, with commas.
        origin: PROGRAM or STANDING where it was not asked on this page; "" where it was.
        turn: Number of the question in its conversation, 0 for one that stands alone.
        asked: Time of day, s since the epoch.
        stage: What the node does with it while it runs.
        status: RUNNING, a status of the node, or NO_RESULT.
        message: What happened and what to do about it.
        answer: Text so far.
        masks: Number of masks so far.
        seconds: Stage -> s.
        truncated: The answer was cut at its limit.
        model: Checkpoint, precision and template.
        image_age: s, of the image when the result was published.
        image: (H, W, 3) uint8 RGB, the frame that was asked about; None where it did not reach the console.
        targets: With masks of the image's size.
        space: None without depth.
    """

    number: int
    query: str
    origin: str = ""
    turn: int = 0
    asked: float = field(default_factory=time.time)
    stage: str = "sent"
    status: str = RUNNING
    message: str = ""
    answer: str = ""
    masks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    truncated: bool = False
    model: str = ""
    image_age: float = float("nan")
    image: np.ndarray | None = None
    targets: tuple[Target, ...] = ()
    space: SpatialView | None = None

    @property
    def is_asking(self) -> bool:
        """Whether it was asked on this page and runs."""
        return not self.origin and self.status == RUNNING


@dataclass(frozen=True, eq=False)
class CameraView:
    """The live camera.

    Attributes:
        topic: Where images are expected.
        image: (H, W, 3) uint8 RGB, the newest one; None before the first.
        rate: Images a second.
        problem: Why the picture is not live; "" where it is.
    """

    topic: str = ""
    image: np.ndarray | None = None
    rate: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class NodeView:
    """The perception node.

    Attributes:
        name: Its full name.
        state: Of its life cycle; "" where it is not there.
        problem: What is wrong; "" for nothing.
        values: Its diagnostics.
    """

    name: str = ""
    state: str = ""
    problem: str = "looking for the node"
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterView:
    """A parameter that may change at any time.

    Attributes:
        name: Its name.
        value: Its value as text.
        about: What it means.
        limits: What it may be, in words; "" for anything.
    """

    name: str
    value: str
    about: str
    limits: str = ""


@dataclass(frozen=True, eq=False)
class ConsoleView:
    """All that the page shows at one moment.

    Attributes:
        camera: The live camera.
        node: The perception node.
        parameters: Those that may change now; empty while they are not known.
        records: The history, oldest first.
        selected: Number of the record on display; 0 for none.
        in_conversation: A follow-up would go on with a conversation.
        notice: What the last request on the page came to, where that is worth a word.
        is_error: The notice is one of an error.
    """

    camera: CameraView = CameraView()
    node: NodeView = NodeView()
    parameters: tuple[ParameterView, ...] = ()
    records: tuple[QueryRecord, ...] = ()
    selected: int = 0
    in_conversation: bool = False
    notice: str = ""
    is_error: bool = False

    @property
    def shown(self) -> QueryRecord | None:
        """The record on display."""
        return next((record for record in self.records if record.number == self.selected), None)

    @property
    def is_asking(self) -> bool:
        """Whether a query of this page runs."""
        return any(record.is_asking for record in self.records)

    @property
    def follows(self) -> bool:
        """Whether a result of others may take the display: nobody looks back in the history, or waits for an answer."""
        return not self.is_asking and (not self.records or self.selected == self.records[-1].number)


class ConsoleState:
    """The view of this moment. Every change is a new frozen one, so that readers need no lock."""

    def __init__(self):
        """Empty."""
        self._lock = threading.Lock()
        self._view = ConsoleView()
        self._count = 0

    @property
    def view(self) -> ConsoleView:
        """The view of this moment."""
        return self._view

    def set(self, **values):
        """Replaces fields of the view: `camera`, `node`, `parameters`, `in_conversation`."""
        self._change(lambda view: replace(view, **values))

    def notify(self, notice: str, is_error: bool = False):
        """Shows a notice in place of the last one; "" for none."""
        self.set(notice=notice, is_error=is_error)

    def select(self, number: int):
        """Puts a record on display; one that is not kept any more changes nothing."""
        self._change(
            lambda view: replace(view, selected=number) if any(r.number == number for r in view.records) else view
        )

    def add(self, query: str, *, select: bool = True, **values) -> int:
        """Adds a record and drops the oldest one that is over, where there are too many.

        Args:
            query: Its words.
            select: Puts it on display.
            **values: Further fields of `QueryRecord`.

        Returns:
            Its number.
        """
        with self._lock:
            self._count += 1
            record, view = QueryRecord(self._count, query, **values), self._view
            records = [*view.records, record]
            selected = record.number if select or not view.selected else view.selected
            if len(records) > HISTORY:
                over = (old for old in records if old.status != RUNNING and old.number != selected)
                oldest = next(over, records[0]).number
                records = [one for one in records if one.number != oldest]
            self._view = replace(view, records=tuple(records), selected=selected)
            return record.number

    def update(self, number: int, **values):
        """Replaces fields of a record; one that is not kept any more changes nothing."""
        self._change(
            lambda view: replace(
                view,
                records=tuple(replace(one, **values) if one.number == number else one for one in view.records),
            )
        )

    def _change(self, change: Callable[[ConsoleView], ConsoleView]):
        with self._lock:
            self._view = change(self._view)
