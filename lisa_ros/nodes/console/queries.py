"""The queries in the history: those of the page, and those of other programs, from asking to the last cloud."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from lisa_ros.client.clouds import CloudBuffer
from lisa_ros.client.conversion import read_result
from lisa_ros.client.perception_client import PerceptionClient
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import PerceptionResult, QueryFeedback, QueryStatus
from lisa_ros.console.state import HISTORY, NO_RESULT, PROGRAM, STANDING, ConsoleState
from lisa_ros.errors import GoalRejectedError, InvalidImageError, LisaError
from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.console.camera_images import CameraImages
from lisa_ros.nodes.console.spatial_views import SpatialViews

_RESULTS = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
_TIMEOUT = 3600.0  # s; a person cancels
_CLAIM = 1.0  # s in which a result on the topic may turn out to be that of a query of this page
_CLOUD_WAIT = 5.0  # s that clouds may come after their result


@dataclass(frozen=True)
class _Waiting:
    number: int
    result: PerceptionResult
    until: float


class ConsoleQueries:
    """Asks, and keeps the history. `ask`, `cancel` and `forget` may be called from any thread."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        state: ConsoleState,
        images: CameraImages,
        views: SpatialViews,
        parameters: Callable[[], dict[str, object]],
    ):
        """Subscribes to results.

        Args:
            node: The console's node.
            namespace: Of the perception node.
            state: Where the history is kept.
            images: Frames by their stamps.
            views: Makes what is shown in space.
            parameters: The perception node's parameters, as far as they are known.
        """
        self._node, self._prefix, self._state = node, f"{namespace.rstrip('/')}/", state
        self._images, self._views, self._parameters = images, views, parameters
        self._group = MutuallyExclusiveCallbackGroup()
        self._client = PerceptionClient(namespace, node=node, clouds="none")
        self._clouds: CloudBuffer | None = None
        self._handles: dict[int, QueryHandle] = {}
        self._own_ids: OrderedDict[str, None] = OrderedDict()
        self._rejected: list[str] = []  # queries of the page that the node rejects by the topic as well
        self._unclaimed: list[tuple[float, PerceptionResult]] = []
        self._waiting: list[_Waiting] = []
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._conversation, self._turn = "", 0
        self._subscription = node.create_subscription(
            SegmentationResult, f"{self._prefix}result", self._on_result, _RESULTS
        )

    # -- what the page asks for

    def ask(self, words: str, as_phrases: bool, in_conversation: bool):
        """Asks; problems become a notice or the outcome of the query."""
        if not words.strip(", \t\n"):
            self._state.notify("Type something to ask about first.", is_error=True)
            return
        self._state.notify("")
        phrases = [one.strip() for one in words.split(",") if one.strip()] if as_phrases else []
        turn = self._next_turn() if in_conversation else 0
        number = self._state.add(", ".join(phrases) or words, turn=turn)
        self._images.hold(number)
        try:
            handle = self._client.ask_async(
                "" if phrases else words,
                phrases=phrases,
                conversation_id=self._conversation if turn else "",
                timeout=_TIMEOUT,
                on_feedback=lambda feedback: self._on_feedback(number, feedback),
            )
        except LisaError as error:
            self._end(number, error)
            return
        self._handles[number] = handle
        handle.future.add_done_callback(lambda future: self._on_done(number, future))

    def cancel(self):
        """Ends every query of the page."""
        for number, handle in list(self._handles.items()):
            self._state.update(number, stage="cancelling")
            handle.cancel()

    def forget(self):
        """The next follow-up begins a new conversation."""
        self._conversation, self._turn = "", 0
        self._state.set(in_conversation=False)
        self._state.notify("The next follow-up begins a new conversation.")

    # -- in the executor's thread

    def update(self, is_watched: bool):
        """To be called a few times a second. is_watched: whether a browser has the page open."""
        if is_watched and self._clouds is None:
            # The scene's points cost the perception node time with every query: not while nobody looks.
            self._clouds = CloudBuffer(self._node, self._prefix, self._group, True, lambda: None)
        elif not is_watched and self._clouds is not None:
            self._clouds.close()
            self._clouds = None
        self._adopt_results()
        self._complete_clouds()

    def close(self):
        """Cancels what runs."""
        self._client.close()

    def _next_turn(self) -> int:
        self._conversation = self._conversation or f"console-{uuid4().hex[:8]}"
        self._turn += 1
        self._state.set(in_conversation=True)
        return self._turn

    def _on_feedback(self, number: int, feedback: QueryFeedback):
        self._images.taken(number)
        self._state.update(number, stage=feedback.stage.name.lower(), answer=feedback.text, masks=feedback.masks)

    def _on_done(self, number: int, future):
        self._handles.pop(number, None)
        if (error := future.exception()) is not None:
            self._end(number, error)
            return
        result = future.result()
        self._own_ids[result.query_id] = None
        while len(self._own_ids) > 4 * HISTORY:
            self._own_ids.popitem(last=False)
        self._show(number, result)

    def _end(self, number: int, error: BaseException):
        self._images.release(number)
        if isinstance(error, GoalRejectedError):
            self._rejected += [record.query for record in self._state.view.records if record.number == number]
        self._state.update(number, status=NO_RESULT, message=str(error))

    def _on_result(self, message: SegmentationResult):
        try:
            self._unclaimed.append((time.monotonic(), read_result(message)))
        except (LisaError, ValueError) as error:
            self._state.notify(f"a result on {self._prefix}result cannot be read: {error}", is_error=True)

    def _adopt_results(self):
        """Results of other programs enter the history; those of this page come by the action as well."""
        unclaimed, self._unclaimed = self._unclaimed, []
        running = {record.query for record in self._state.view.records if record.is_asking}
        for arrived, result in unclaimed:
            if result.query_id in self._own_ids:
                continue
            if result.status is QueryStatus.REJECTED and result.query in self._rejected:
                self._rejected.remove(result.query)
                continue
            is_standing = bool(result.query) and result.query == self._parameters().get("standing_query")
            is_young = not is_standing and time.monotonic() - arrived < _CLAIM
            if result.query in running or is_young:
                self._unclaimed.append((arrived, result))
                continue
            self._show(self._adopt(result, is_standing), result)

    def _adopt(self, result: PerceptionResult, is_standing: bool) -> int:
        """Number of the record for a result of others: a standing query has one for all of its results."""
        view, asked = self._state.view, result.received / SECOND
        last = next((one for one in reversed(view.records) if one.origin == STANDING), None)
        if is_standing and last is not None and last.query == result.query:
            self._state.update(last.number, asked=asked)
            return last.number
        origin = STANDING if is_standing else PROGRAM
        return self._state.add(result.query, origin=origin, select=view.follows, asked=asked)

    def _show(self, number: int, result: PerceptionResult):
        image, remark = self._frame(result)
        self._images.release(number)
        self._state.update(
            number,
            status=result.status.name,
            message="; ".join(filter(None, (result.message, remark))),
            answer=result.answer,
            seconds=_with_total(result),
            truncated=result.truncated,
            model=result.model,
            image_age=result.image_age,
            image=image,
            targets=result.targets,
            space=self._views.make(result, self._parameters()),
        )
        self._waiting = [one for one in self._waiting if one.number != number]
        if any(target.location for target in result.targets):
            self._waiting.append(_Waiting(number, result, time.monotonic() + _CLOUD_WAIT))

    def _frame(self, result: PerceptionResult) -> tuple[np.ndarray | None, str]:
        """The frame that was asked about, and a remark where it is not there."""
        if not result.stamp:
            return None, ""
        try:
            image = self._frames.get(result.stamp)
            if image is None:
                image = self._images.at(result.stamp)
        except InvalidImageError as error:
            return None, f"the console cannot read the image that was asked about: {error}"
        if image is None:
            return None, "the image that was asked about has not reached the console, so the masks stand alone"
        self._frames[result.stamp] = image  # a conversation comes back to it
        while len(self._frames) > HISTORY:
            self._frames.popitem(last=False)
        return image, ""

    def _complete_clouds(self):
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            complete = self._clouds.complete(one.result) if self._clouds is not None else None
            if complete is not None:
                self._state.update(one.number, space=self._views.make(complete, self._parameters()))
            elif time.monotonic() < one.until:
                self._waiting.append(one)


def _with_total(result: PerceptionResult) -> dict[str, float]:
    seconds = dict(result.seconds)
    seconds.setdefault("total", sum(seconds.values()))
    return seconds
