"""Loads and releases the model in a thread of its own, which is replaced where a call does not return.

No rclpy. Used by the executor's thread.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

from lisa_ros.named_values import named_values
from lisa_ros.nodes.perception.inference.inference_session import InferenceSession
from lisa_ros.nodes.perception.inference.inference_thread import InferenceThread
from lisa_ros.nodes.perception.parameters import PerceptionParameters


def load_lisa(parameters: PerceptionParameters):
    """The model that the parameters name. Raises CheckpointError, ConfigurationError, MemoryBudgetError."""
    from lisa_ros import Lisa

    files = ("vision_tower", "conv_type", "style", "base", "sam_checkpoint", "dinov2", "alphaclip")
    files += ("quality_calibration",)
    values = {name: named_values(getattr(parameters, name), name) for name in ("proposal_head", "proposal_options")}
    given = {name: getattr(parameters, name) for name in files} | values
    return Lisa.from_pretrained(
        parameters.model,
        device=parameters.device,
        precision=parameters.precision,
        threads=parameters.threads,
        compile=parameters.compile,
        **{name: value for name, value in given.items() if value},
    )


class ModelManager:
    """Loads at most one model at a time. engine_factory(parameters) loads one with the interface of `lisa_ros.Lisa`.

    A thread cannot be ended from outside. One that does not return from loading, or from its last query when the
    model is released, is abandoned: what waits for it fails, and the next model is loaded in a new thread. The weights
    that the old one holds are freed when its call returns.
    """

    def __init__(self, engine_factory: Callable[[PerceptionParameters], object]):
        self._factory = engine_factory
        self._thread, self._session = InferenceThread("model"), InferenceSession(engine_factory)
        self._loading: Future | None = None
        self._limited: tuple[Future, float, str] | None = None  # load or release, its end in monotonic s, the reason

    @property
    def is_wanted(self) -> bool:
        """Whether a model is loaded or being loaded."""
        return self._loading is not None

    def submit(self, call: Callable[[InferenceSession], object]) -> Future:
        """Queues a call with the session, in the inference thread."""
        session = self._session  # of now: an abandoned thread keeps its own
        return self._thread.submit(lambda: call(session))

    def load(self, parameters: PerceptionParameters) -> Future:
        """Starts loading, unless that has begun already; the future raises what went wrong."""
        if self._loading is None:
            self._loading = self.submit(lambda session: session.load(parameters))
            self._limit(
                self._loading,
                parameters.load_timeout,
                f"loading {parameters.model!r} took longer than load_timeout, {parameters.load_timeout:g} s; set "
                "another model or a longer load_timeout and configure again",
            )
        return self._loading

    def release(self, timeout: float) -> Future:
        """Frees the model; the future raises ThreadAbandonedError where it is still busy after `timeout` s."""
        self._loading = None
        released = self.submit(lambda session: session.unload())
        self._limit(
            released,
            timeout,
            f"the model is still busy after {timeout:g} s; its thread is abandoned, and its memory is freed when it "
            "comes back",
        )
        return released

    def check(self):
        """Abandons a thread that takes longer than allowed to load or release; to be called regularly."""
        if self._limited is None:
            return
        future, end, reason = self._limited
        if future.done():
            self._limited = None
        elif time.monotonic() > end:
            self.abandon(reason)

    def abandon(self, reason: str):
        """Continues with a new thread and session; futures of the old one raise ThreadAbandonedError."""
        self._limited = None
        thread, session = self._thread, self._session
        self._thread, self._session = InferenceThread("model"), InferenceSession(self._factory)
        thread.abandon(reason)
        session.stop_clouds()

    def shutdown(self, timeout: float) -> bool:
        """Frees the model and ends the thread; False where it is still busy after `timeout` s."""
        self.submit(lambda session: session.unload())
        return self._thread.shutdown(timeout)

    def _limit(self, future: Future, timeout: float, reason: str):
        self._limited = (future, time.monotonic() + timeout, reason) if timeout else None
