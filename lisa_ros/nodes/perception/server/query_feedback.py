"""Signs of life of a query that the model works on: for whoever asked, and for the watch over the model. No rclpy."""

import time
from collections.abc import Callable

from lisa_ros.action import Segment
from lisa_ros.nodes.perception.queries.query import Query

_TEXT_PERIOD = 0.05  # s between two feedbacks that only add words


def send_feedback(query: Query, stage: int, text: str = "", masks: int = 0):
    """Feedback to whoever asked, unless the query has its result."""
    if query.on_progress is not None and not query.finished:
        query.on_progress(stage, text, masks)


def progress_reporter(query: Query, post: Callable):
    """Progress from the worker's thread to the executor's; words alone are passed on a few times a second."""
    last = {"stage": None, "time": 0.0}

    def report(stage: int, text: str, masks: int):
        now = query.alive = time.perf_counter()
        query.stage = stage
        if stage == last["stage"] == Segment.Feedback.GENERATING and now - last["time"] < _TEXT_PERIOD:
            return
        last["stage"], last["time"] = stage, now
        post(lambda: send_feedback(query, stage, text, masks))

    return report


def stall_reason(query: Query) -> str:
    """What to say of a model that has worked on a query for too long without a sign of life; "" where all is well.

    The cloud stage has a limit of its own, and a process that can be replaced.
    """
    silence, limit = time.perf_counter() - query.alive, query.parameters.model_timeout
    if query.stage == Segment.Feedback.CLOUD or not 0 < limit < silence:
        return ""
    return (
        f"the model has given no sign of life for {silence:.0f} s (model_timeout is {limit:g} s); if it does not come "
        "back, load it anew by the transitions deactivate, cleanup, configure, activate"
    )
