"""One line of log for each result."""

from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentationTarget
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.queries.query import STANDING, QueryRequest


class ResultLog:
    """Logs results by `logger`: what can come many times a second, only now and then."""

    def __init__(self, logger):
        self._logger = logger
        # The standing query may end, and texts and goals come, many times a second.
        self._log_throttled = ThrottledLog(lambda text: logger.info(text))

    def note(self, request: QueryRequest, result: Result):
        """Logs the outcome of a request."""
        if request.source == STANDING:
            self._log_throttled(STANDING, _summary(request, result))
        elif result.status in (Result.REJECTED, Result.CANCELLED):
            self._log_throttled(f"{request.source} {result.status}", _summary(request, result))
        else:
            self._logger.info(_summary(request, result))


def _summary(request: QueryRequest, result: Result) -> str:
    outcome = f"query {request.query_id} ({request.source}) {request.text[:80]!r}: status {result.status}"
    if result.status == Result.OK:
        found = sum(target.kind == SegmentationTarget.SEGMENTED for target in result.targets)
        outcome += f", {found} of {len(result.targets)} targets in the image, {result.answer[:120]!r}"
    return outcome + (f", {result.message[:300]}" if result.message else "")
