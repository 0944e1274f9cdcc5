"""Which status a query ends with that raised an error. No rclpy."""

from lisa_ros.errors import InvalidImageError, InvalidQueryError, MemoryBudgetError, QueryCancelled
from lisa_ros.msg import SegmentationResult as Result

_STATUS = {
    QueryCancelled: Result.CANCELLED,
    InvalidQueryError: Result.REJECTED,
    InvalidImageError: Result.NO_IMAGE,
    MemoryBudgetError: Result.OUT_OF_MEMORY,
    MemoryError: Result.OUT_OF_MEMORY,
}


def status_of(error: BaseException) -> int:
    """Of SegmentationResult.msg; MODEL_ERROR for every error without one of its own."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), Result.MODEL_ERROR)
