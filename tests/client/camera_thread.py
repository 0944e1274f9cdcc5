"""A camera that streams from a thread of the test's own process, while executors do what the test wants."""

import threading

from node_harness import Robot


class CameraThread(Robot):
    """Shows one picture again and again; nobody spins it, for it only publishes.

    Attributes:
        stamps: ns, of the images that were shown.
    """

    def __init__(self, context, namespace, rate=10.0, **options):
        super().__init__(context, namespace)
        self.stamps: list[int] = []
        self._rate, self._options = rate, options
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def change(self, **options):
        """Shows something else from the next image on."""
        self._options = options

    def stop(self):
        """Shows nothing any more; its publishers stay."""
        self._stopped.set()
        self._thread.join()

    def close(self):
        self.stop()
        super().close()

    def _run(self):
        while not self._stopped.wait(1 / self._rate):
            self.stamps.append(self.show(**self._options))
