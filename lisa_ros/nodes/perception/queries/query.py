"""One query on its way to exactly one result.

No rclpy; used by one thread, except for `Query.cancel` and `Query.alive`.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lisa_ros.errors import InvalidQueryError
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.region import Region

TOPIC = "topic"
ACTION = "action"
STANDING = "standing"


@dataclass(eq=False)
class Query:
    """One question on its way to exactly one result.

    received: ns, node clock. image_stamp: ns; 0 for the newest image.
    frame: what it is asked about, once that is known.
    pose: (4, 4) target_frame <- optical frame at the frame's stamp; None for the optical frame.
    depth_pose: (4, 4) optical frame <- the depth camera's at that stamp; None where they are one, or not asked for.
    find_pose, find_depth_pose: look them up again, or raise NoTransformError; None once they are known.
    region: the part of the image that is asked about; None for all of it. invalid: why its options cannot be met.
    wants_overlay, wants_scene: somebody looks at the overlay, at the scene cloud.
    on_progress, on_done: where a program waits for it.
    accepted, waiting_since, seen, started, alive: perf_counter, s; waiting_since is earlier than accepted where the
    query took the place of another one in line, seen is when an image was there first, complete or not, alive the
    model's last sign of life. stage: of the action's feedback, that the model has reached.
    """

    text: str
    source: str
    parameters: PerceptionParameters
    received: int
    with_cloud: bool
    conversation_id: str = ""
    image_stamp: int = 0
    query_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    region: Region | None = None
    invalid: str = ""
    frame: CameraFrame | None = None
    pose: Any = None
    depth_pose: Any = None
    find_pose: Callable | None = None
    find_depth_pose: Callable | None = None
    wants_overlay: bool = False
    wants_scene: bool = False
    finished: bool = False
    accepted: float = field(default_factory=time.perf_counter)
    waiting_since: float = field(default_factory=time.perf_counter)
    seen: float | None = None
    started: float | None = None
    alive: float | None = None
    stage: int = 0
    cancel: threading.Event = field(default_factory=threading.Event)
    on_progress: Callable | None = None
    on_done: Callable | None = None

    def asks_the_same(self, other: "Query") -> bool:
        """Whether the other query has the same words, choice of image, and options."""
        return self._question() == other._question()

    def _question(self) -> tuple:
        return self.text, self.image_stamp, self.region, self.with_cloud, self.parameters


def check_text(text: str, limit: int):
    """What needs no model to be refused; the model's own tokens are its engine's to refuse.

    Raises InvalidQueryError.
    """
    if len(text) > limit:
        raise InvalidQueryError(
            f"the query has {len(text)} characters, the limit is {limit} (parameter max_query_length)"
        )
    if not text.strip():
        raise InvalidQueryError("the query is empty")
