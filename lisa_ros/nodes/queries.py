"""Queries and the rules of who waits, who is superseded and who is next.

No rclpy; used by one thread, except for `Query.cancel` and `Query.alive`.
"""

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lisa_ros.errors import InvalidQueryError
from lisa_ros.nodes.frame_buffer import SECOND, Bundle
from lisa_ros.nodes.regions import Region
from lisa_ros.nodes.settings import Settings

TOPIC = "topic"
ACTION = "action"
STANDING = "standing"

_MAX_CUTS = 2  # in a row: enough for a person who corrects himself, and every third query gets its answer


@dataclass(eq=False)
class Query:
    """One question on its way to exactly one result.

    received: ns, node clock. image_stamp: ns; 0 for the newest image.
    bundle: what it is asked about, once that is known.
    pose: (4, 4) target_frame <- optical frame at the bundle's stamp; None for the optical frame.
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
    settings: Settings
    received: int
    with_cloud: bool
    conversation_id: str = ""
    image_stamp: int = 0
    query_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    region: Region | None = None
    invalid: str = ""
    bundle: Bundle | None = None
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
        return self.text, self.image_stamp, self.region, self.with_cloud, self.settings


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


class QueryBoard:
    """Newest words win on the topic; action goals wait in turn; the standing query gives way to everybody.

    Words may come faster than answers, so that progress is guaranteed: the words of the running query, said again, let
    it run, and after newer words have cut off _MAX_CUTS queries in a row the next one runs to its end. Words that wait
    are replaced by newer ones, which take their place in line.
    """

    def __init__(self):
        self.pending: list[Query] = []
        self.running: Query | None = None  # what the worker is busy with, also when its result is out already
        self._cuts = 0  # running queries from the topic that newer words have cut off since one ran to its end

    def goals_waiting(self) -> int:
        """Action goals that have not started."""
        return sum(query.source == ACTION for query in self.pending)

    def add(self, query: Query) -> list[Query]:
        """Puts a query in line. Returns those that it supersedes; they are out of line and told to stop."""
        superseded = [other for other in self.everything() if self._supersedes(query, other)]
        self._cuts += self.running in superseded and query.source == self.running.source
        replaced = next((other for other in superseded if other is not self.running and other.source == TOPIC), None)
        if replaced is None:
            self.pending.append(query)
        else:
            self.pending[self.pending.index(replaced)] = query
            query.waiting_since, query.seen = replaced.waiting_since, replaced.seen
        for other in superseded:
            self.drop(other)
        return superseded

    def _supersedes(self, new: Query, old: Query) -> bool:
        if old.source == STANDING:
            return True
        if not new.source == old.source == TOPIC:
            return False
        return old is not self.running or (self._cuts < _MAX_CUTS and not new.asks_the_same(old))

    def everything(self) -> list[Query]:
        """All that still owe a result."""
        running = [self.running] if self.running and not self.running.finished else []
        return running + self.pending

    def drop(self, query: Query):
        """Takes a query out of line; a running one is told to stop."""
        query.cancel.set()
        if query in self.pending:
            self.pending.remove(query)

    def start_next(self) -> Query | None:
        """The first in line whose image is there, now running; None while the worker is busy or nobody is ready."""
        if self.running is not None:
            return None
        ready = next((query for query in self.pending if query.bundle is not None), None)
        if ready is not None:
            self.pending.remove(ready)
            self.running = ready
            ready.started = ready.alive = time.perf_counter()
        return ready

    def worker_is_free(self):
        """The worker has let go of the running query."""
        if self.running is not None and self.running.source == TOPIC and not self.running.cancel.is_set():
            self._cuts = 0
        self.running = None

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return self.running is None and not self.pending

    @property
    def gives_way(self) -> bool:
        """Nothing runs or waits but what a goal supersedes."""
        return all(query.source == STANDING for query in (self.running, *self.pending) if query is not None)


class Conversations:
    """The last query of each conversation, which tells its image; the longest silent conversation goes first."""

    def __init__(self):
        self._last: OrderedDict[str, Query] = OrderedDict()

    def get(self, conversation_id: str) -> Query | None:
        """The last query of a conversation; None for a new one, and for no conversation at all ("")."""
        return self._last.get(conversation_id)

    def why_not(self, query: Query) -> str:
        """Why a query cannot belong to its conversation: it names another image or region; "" where it can."""
        earlier = self._last.get(query.conversation_id)
        if earlier is None:
            return ""
        about = f"conversation {query.conversation_id!r} is about"
        tolerance = query.settings.sync_tolerance * SECOND
        if query.image_stamp and abs(query.image_stamp - earlier.bundle.stamp) > tolerance:
            stamp = f"the image of {earlier.bundle.stamp / SECOND:.3f} s"
            return f"{about} {stamp}; ask about another image under another conversation_id"
        if query.region not in (None, earlier.region):
            region = earlier.region or "the whole image"
            return f"{about} {region}; ask about region {query.region} under another conversation_id"
        return ""

    def keep(self, query: Query, limit: int):
        """Notes that a query of a conversation was accepted."""
        self._last[query.conversation_id] = query
        self._last.move_to_end(query.conversation_id)
        while len(self._last) > limit:
            self._last.popitem(last=False)

    def forget(self, conversation_id: str | None = None) -> int:
        """Forgets one, or all of them; returns how many."""
        if conversation_id is None:
            count = len(self._last)
            self._last.clear()
            return count
        return int(self._last.pop(conversation_id, None) is not None)

    @property
    def ids(self) -> frozenset[str]:
        """Those that are kept."""
        return frozenset(self._last)
