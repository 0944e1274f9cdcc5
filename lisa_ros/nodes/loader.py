"""The model's coming and going, in the worker's thread. No rclpy."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as WorkerTimeout

from lisa_ros.nodes.session import Session
from lisa_ros.nodes.settings import Settings
from lisa_ros.nodes.worker import Worker


def load_lisa(settings: Settings):
    """The model that the settings name. Raises CheckpointError."""
    from lisa_ros import Lisa

    return Lisa.from_pretrained(
        settings.model,
        vision_tower=settings.vision_tower or None,
        device=settings.device,
        precision=settings.precision,
        conv_type=settings.conv_type or None,
        threads=settings.threads,
    )


class Loader:
    """Loads at most one model at a time."""

    def __init__(self, worker: Worker, session: Session):
        self._worker, self._session = worker, session
        self._loading: Future | None = None

    @property
    def wanted(self) -> bool:
        """Whether a model is loaded or being loaded."""
        return self._loading is not None

    def load(self, settings: Settings) -> Future:
        """Starts loading, unless that has begun already; the future raises what went wrong."""
        if self._loading is None:
            self._loading = self._worker.submit(lambda: self._session.load(settings))
        return self._loading

    def unload(self, timeout: float) -> bool:
        """Frees the model; False where it is busy for longer than `timeout` s, and is freed when it lets go."""
        self._loading = None
        try:
            self._worker.submit(self._session.unload).result(timeout)
        except WorkerTimeout:
            return False
        return True
