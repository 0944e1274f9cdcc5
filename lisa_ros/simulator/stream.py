"""A scene as a camera would stream it: rendered at its own pace in a background thread, always with a newest frame."""

import threading
import time
from dataclasses import dataclass

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.scene import PERIOD, Scene, scene_at

_CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class StreamFrame:
    """One frame of a `SceneStream`.

    Attributes:
        time: Seconds of motion, in whole milliseconds.
        scene: What `scene_at` gives for this time.
    """

    time: float
    scene: Scene


class SceneStream:
    """Renders a moving scene in real time in a background thread.

    Motions repeat every PERIOD seconds; rendered positions are kept (up to 256 MB). A static scene is rendered once.

    Args:
        seed: Seed of the scene.
        height: Of the image, px.
        width: Of the image, px.
        motion: As in `scene_at`.
        motion_rate: Positions per second, or as many as the processor can render.

    Raises:
        ConfigurationError: If the motion, the size or the rate is out of range.
    """

    def __init__(self, seed: int, height: int, width: int, motion: str = "static", motion_rate: float = 5.0):
        if not 0.1 <= motion_rate <= 30.0:
            raise ConfigurationError(f"motion_rate={motion_rate}: must be within 0.1..30 Hz")
        self._arguments = (seed, motion, height, width)
        self._motion, self._rate = motion, motion_rate
        self._positions = max(1, round(PERIOD * motion_rate))
        self._kept: dict[int, StreamFrame] = {}
        self._room = _CACHE_BYTES // (8 * height * width)  # 3 bytes of colour, 4 of depth, 1 of instances
        self._frame = self._render(0)
        self._stopping = threading.Event()
        self._thread = None
        if motion != "static":
            self._thread = threading.Thread(target=self._run, name="scene stream", daemon=True)
            self._thread.start()

    def newest(self) -> StreamFrame:
        """The newest rendered frame; never waits."""
        return self._frame

    def stop(self, timeout: float = 5.0) -> bool:
        """Ends the thread.

        Args:
            timeout: Seconds to wait for it.

        Returns:
            Whether it has ended.
        """
        self._stopping.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _render(self, position: int) -> StreamFrame:
        if position in self._kept:
            return self._kept[position]
        seed, motion, height, width = self._arguments
        moment = round(position / self._rate, 3)
        frame = StreamFrame(moment, scene_at(seed, moment, motion, height, width))
        if len(self._kept) < self._room:
            self._kept[position] = frame
        return frame

    def _run(self):
        start = time.monotonic()
        while not self._stopping.is_set():
            passed = (time.monotonic() - start) * self._rate
            self._frame = self._render(int(passed) % self._positions)
            self._stopping.wait((int(passed) + 1) / self._rate - (time.monotonic() - start))
