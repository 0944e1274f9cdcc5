"""The real node in a process of its own, with an engine that knows the truth and may fail at one question.

Environment: FAILS_AT (words of the question), FAILS_HOW ("hangs": no answer until cancelled; "dies").
"""

import os
import sys
import time

from lisa_ros.errors import QueryCancelled
from lisa_ros.nodes.perception.node import main
from lisa_ros.replay.truth_engine import TruthEngine


class Misbehaving(TruthEngine):
    def stream(self, frame, text, *, cancelled=None, **options):
        if text == os.environ["FAILS_AT"]:
            if os.environ["FAILS_HOW"] == "dies":
                os._exit(7)
            while not cancelled():
                time.sleep(0.01)
            raise QueryCancelled("cancelled")
        yield from super().stream(frame, text, **options)


if __name__ == "__main__":
    sys.exit(main(engine_factory=Misbehaving))
