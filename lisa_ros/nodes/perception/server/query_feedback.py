"""Feedback of the query that runs: to its client, and to the watch over the model. No rclpy."""

import time
from collections.abc import Callable

from lisa_ros.action import Segment
from lisa_ros.nodes.perception.queries.query import Query

_TEXT_PERIOD = 0.05  # s between two feedbacks that only add text


def send_feedback(query: Query, stage: int, text: str = "", masks: int = 0):
    """Sends feedback to the query's client, unless the query has its result."""
    if query.on_feedback is not None and not query.is_done:
        query.on_feedback(stage, text, masks)


def progress_reporter(query: Query, post: Callable) -> Callable[[int, str, int], None]:
    """Makes the function by which the inference thread reports (stage, text so far, masks so far).

    It notes each report in the query, and posts feedback to the executor: each stage, and text a few times a second.
    """
    last = {"stage": None, "time": 0.0}

    def report(stage: int, text: str, masks: int):
        now = query.last_progress = time.perf_counter()
        query.stage = stage
        if stage == last["stage"] == Segment.Feedback.GENERATING and now - last["time"] < _TEXT_PERIOD:
            return
        last["stage"], last["time"] = stage, now
        post(lambda: send_feedback(query, stage, text, masks))

    return report


def stall_reason(query: Query) -> str:
    """Why the model counts as stalled in a running query: no progress for model_timeout; "" where it does not.

    The cloud stage has a timeout of its own, and a process that can be replaced.
    """
    silence, limit = time.perf_counter() - query.last_progress, query.request.parameters.model_timeout
    if query.stage == Segment.Feedback.CLOUD or not 0 < limit < silence:
        return ""
    return (
        f"the model has given no sign of life for {silence:.0f} s (model_timeout is {limit:g} s); if it does not come "
        "back, load it anew by the transitions deactivate, cleanup, configure, activate"
    )
