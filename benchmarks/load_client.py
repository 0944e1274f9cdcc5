"""One client of load.py, in a process of its own: asks as fast as it gets answers, and says when each came.

    python benchmarks/load_client.py NAME SECONDS FILE --ros-args ...

Writes one line to FILE for each query: its text, the start in monotonic s, the seconds that it took, its outcome (a
status, or the name of the error that came in place of a result).
"""

import json
import sys
import time

from rclpy.utilities import remove_ros_args

from lisa_ros.client import PerceptionClient
from lisa_ros.errors import NoResultError

NAMESPACE = "/load"


def main() -> int:
    name, seconds, path = remove_ros_args(sys.argv)[1:]
    with PerceptionClient(NAMESPACE, clouds="none", discovery_timeout=60) as client, open(path, "w") as lines:
        client.wait_for_server(60)
        end, number = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            text = f"red of {name} number {number}"
            started = time.monotonic()
            try:
                outcome = client.ask(text, timeout=60, with_cloud=False).status.name
            except NoResultError as error:
                outcome = type(error).__name__
            line = {"text": text, "started": started, "seconds": time.monotonic() - started, "outcome": outcome}
            lines.write(json.dumps(line) + "\n")
            number += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
