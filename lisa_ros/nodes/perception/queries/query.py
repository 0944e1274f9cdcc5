"""One query on its way to exactly one result: what is asked, which frame it is about, and how far it has come.

No rclpy; used by the executor's thread, except where an attribute says otherwise.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from lisa_ros.errors import InvalidQueryError
from lisa_ros.model.query_text import MAX_PHRASES
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.frames.frame_poses import FramePoses
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.region import Region

TOPIC = "topic"
ACTION = "action"
STANDING = "standing"


@dataclass(frozen=True)
class QueryRequest:
    """What is asked, as it arrived.

    Attributes:
        text: The question, or the name of an object; of phrases all of them.
        source: TOPIC (also of the service `submit`), ACTION or STANDING.
        parameters: The node's parameters at arrival, with those that the request sets for itself.
        received: Arrival, ns, node clock.
        with_cloud: Whether clouds and boxes are wanted.
        conversation_id: The conversation that it belongs to; empty: none.
        image_stamp: Stamp of the image to ask about, ns; 0: the newest one.
        region: The part of the image to ask about; None: all of it.
        query_id: Identifies the query on every output.
        follow: Whether it is an action goal that lives until it is cancelled, about each newest frame.
        followed_as: What its targets are followed as: requests of the same one continue each other; "": not followed.
        invalid: Why the options of the request cannot be met; "" where they can.
        phrases: Names of things, each of which is found or absent; empty where `text` is asked as it is.
    """

    text: str
    source: str
    parameters: PerceptionParameters
    received: int
    with_cloud: bool
    conversation_id: str = ""
    image_stamp: int = 0
    region: Region | None = None
    query_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    follow: bool = False
    followed_as: str = ""
    invalid: str = ""
    phrases: tuple[str, ...] = ()

    def asks_the_same(self, other: "QueryRequest") -> bool:
        """Whether the other request has the same text or phrases, choice of image, and options."""
        return self._question() == other._question()

    def _question(self) -> tuple:
        return self.text, self.phrases, self.image_stamp, self.region, self.with_cloud, self.parameters


class QueryState(Enum):
    """Where a query stands; it moves downwards only, and may be DONE from any state."""

    WAITING = "waiting"  # for its frame
    BOUND = "bound"  # to a frame, in line for the inference thread
    RUNNING = "running"  # in the inference thread
    DONE = "done"  # its result is out


@dataclass(eq=False)
class Query:
    """A request and its progress.

    Attributes:
        request: What is asked.
        on_feedback: Called with (stage, text so far, masks so far) while it runs; None: nobody wants it.
        on_followed: Called with the SegmentationResult of each frame while its targets are followed; None: not wanted.
        on_result: Called with the SegmentationResult; None: nobody waits for it.
        state: Where it stands.
        frame: What it is asked about; None while it is WAITING.
        region: The part of that frame; in a conversation that of its first query.
        poses: Poses at the frame's stamp; None where no cloud is wanted.
        cancel: Set to stop it; read by the inference thread.
        wants_overlay: Whether the overlay has a subscriber, as of its start.
        wants_scene: Whether the scene cloud has a subscriber, as of its start.
        accepted: Arrival, s, perf_counter like all that follow.
        waiting_since: Start of its wait for a frame: that of the query whose place in line it took, or `accepted`.
        frame_seen: When a frame that fits was there first, complete or not; None before.
        started: Start in the inference thread; None before.
        last_progress: The model's last sign of progress; written by the inference thread.
        stage: Stage of Segment.Feedback that was reached; written by the inference thread.
    """

    request: QueryRequest
    on_feedback: Callable[[int, str, int], None] | None = None
    on_result: Callable | None = None
    on_followed: Callable | None = None
    state: QueryState = field(default=QueryState.WAITING, init=False)
    frame: CameraFrame | None = field(default=None, init=False)
    region: Region | None = field(default=None, init=False)
    poses: FramePoses | None = field(default=None, init=False)
    cancel: threading.Event = field(default_factory=threading.Event, init=False)
    wants_overlay: bool = field(default=False, init=False)
    wants_scene: bool = field(default=False, init=False)
    accepted: float = field(default_factory=time.perf_counter, init=False)
    waiting_since: float = field(default=0.0, init=False)
    frame_seen: float | None = field(default=None, init=False)
    started: float | None = field(default=None, init=False)
    last_progress: float | None = field(default=None, init=False)
    stage: int = field(default=0, init=False)

    def __post_init__(self):
        self.region, self.waiting_since = self.request.region, self.accepted

    @property
    def is_done(self) -> bool:
        """Whether its result is out."""
        return self.state is QueryState.DONE

    def take_place_of(self, other: "Query"):
        """Inherits the time that a query which it supersedes has waited for a frame."""
        self.waiting_since, self.frame_seen = other.waiting_since, other.frame_seen

    def bind(self, frame: CameraFrame, region: Region | None, poses: FramePoses | None = None):
        """WAITING -> BOUND: from now on it is about this frame, whatever the camera sends."""
        self._leave(QueryState.WAITING)
        self.frame, self.region, self.poses = frame, region, poses
        self.state = QueryState.BOUND

    def start(self):
        """BOUND -> RUNNING."""
        self._leave(QueryState.BOUND)
        self.started = self.last_progress = time.perf_counter()
        self.state = QueryState.RUNNING

    def finish(self):
        """Any state -> DONE."""
        self.state = QueryState.DONE

    def _leave(self, expected: QueryState):
        if self.state is not expected:
            raise RuntimeError(f"query {self.request.query_id} is {self.state.value}, expected {expected.value}")


def check_words(request: QueryRequest):
    """Checks what needs no model; the model's own tokens are for its engine to check.

    Raises InvalidQueryError for an empty text or phrase, for more phrases than a query takes, and for more than
    `max_query_length` characters in all.
    """
    limit, count = request.parameters.max_query_length, len(request.phrases)
    if count > MAX_PHRASES:
        raise InvalidQueryError(
            f"{count} phrases in one query, the limit is {MAX_PHRASES}; ask for the rest in another"
        )
    if len(request.text) > limit:
        what = f"the {count} phrases, with commas, have" if count else "the query has"
        raise InvalidQueryError(
            f"{what} {len(request.text)} characters, the limit is {limit} (parameter max_query_length)"
        )
    for number, phrase in enumerate(request.phrases, start=1):
        if not phrase.strip():
            raise InvalidQueryError(f"phrase {number} of {count} is empty; leave it out")
    if not request.text.strip():
        raise InvalidQueryError("the query is empty")
