"""Typed errors of the core. The ROS nodes map each class to one result status; the command line to one exit message."""


class LisaError(Exception):
    """Base of every error that this package raises on purpose."""


class CheckpointError(LisaError):
    """A checkpoint is missing, damaged or not one of LISA; the message names the file, the key and the remedy."""


class ConfigurationError(LisaError):
    """A setting is out of range or contradicts another; the message names the value, the limit and the remedy."""


class InvalidQueryError(LisaError):
    """A query that cannot be asked: empty, too long, with control characters or tokens of the prompt template."""


class InvalidRegionError(InvalidQueryError):
    """A region of interest without pixels, or one that reaches out of its image."""


class InvalidImageError(LisaError):
    """An image, depth image or camera model has a wrong shape, dtype, encoding or length."""


class NoDepthError(LisaError):
    """No usable depth belongs to the image: missing, of another size, or without a single valid pixel on the target."""


class NoTransformError(LisaError):
    """The camera pose at the image's stamp is not known, so that points cannot be given in the wanted frame."""


class MemoryBudgetError(LisaError):
    """The device's memory does not suffice for this query; the model stays loaded and usable."""


class QueryCancelled(LisaError):
    """The caller asked to stop; raised at the next stage boundary or token."""


class RecordingError(LisaError):
    """A recording (.sens file, bag, annotation or queries file) is damaged or of an unsupported kind.

    The message names the file, the frame or line, and the remedy.
    """


class DatasetError(LisaError):
    """A file of a data set is missing, damaged or not of its format; the message names the file and the remedy."""


class NoResultError(LisaError):
    """A query that was asked over ROS has no result; the classes below say why."""


class ServerUnavailableError(NoResultError):
    """No perception node answers under the name; the message says which name and what is there."""


class ServerLostError(NoResultError):
    """The perception node ended, or was started anew, while a query ran."""


class GoalRejectedError(NoResultError):
    """The perception node did not accept a goal: it is not active, or its queue is full."""


class QueryTimeoutError(NoResultError, TimeoutError):
    """The result did not come in time. The goal has been cancelled."""


class FollowingEndedError(NoResultError):
    """A followed query ended, and not because its client cancelled it: there are no more frames."""


class ClientClosedError(NoResultError):
    """The client was closed, or rclpy shut down, before the result came."""


class BlockingCallError(NoResultError, RuntimeError):
    """A call that waits for the result would wait for ever.

    It was made from a callback whose executor has no thread left to receive the result, or nothing spins the executor.
    """


class GraphEndedError(LisaError):
    """A process of the graph that this program started has ended, so that there is nothing to wait for."""
