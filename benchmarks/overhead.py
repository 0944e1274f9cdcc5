"""What a query costs beside model and cloud: from the words on the topic to the result at a subscriber.

    python benchmarks/overhead.py --queries 100 --json FILE

The real node with the packaged model; a 640x480 camera at 15 Hz and the asking program in a second process. Overhead is
the time between publishing the words and receiving the result, less the stages of the engine and the cloud.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Before rclpy is imported: loopback, and a domain that no robot uses.
os.environ.update(ROS_DOMAIN_ID=str(50 + os.getpid() % 50), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(HERE.parent / "config" / "fastdds.xml"))

import rclpy  # noqa: E402
from lisa_ros.msg import SegmentationResult  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from soak_world import FaultyCamera, NodeUnderTest  # noqa: E402
from std_msgs.msg import String  # noqa: E402

COUNTED_ELSEWHERE = ("queued", "total")  # waiting, and the sum; every other stage is the engine's or the cloud's
TIMEOUT = 60.0  # s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, NodeUnderTest(Path(folder) / "log.txt") as node:
        figures = measure(node, args.queries)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(node: NodeUnderTest, queries: int) -> dict:
    """Median and 95th percentile in ms of the overhead, and medians of the whole and of each stage."""
    rclpy.init()
    ros = rclpy.create_node("asking", namespace="/soak")
    executor = SingleThreadedExecutor()
    executor.add_node(ros)
    camera = FaultyCamera(ros, random.Random(0))
    results: list[SegmentationResult] = []
    words = ros.create_publisher(String, "query", 10)
    durable = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.create_subscription(SegmentationResult, "result", results.append, durable)

    def wait(condition):
        end = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"no answer within {TIMEOUT:g} s; the node's log: {node.log()[-2000:]}")
            executor.spin_once(timeout_sec=0.05)

    def ask(text: str) -> tuple[float, SegmentationResult]:
        del results[:]
        started = time.perf_counter()
        words.publish(String(data=text))
        wait(lambda: any(result.query == text for result in results))
        return time.perf_counter() - started, next(result for result in results if result.query == text)

    wait(lambda: "active, subscribed" in node.log())
    wait(lambda: words.get_subscription_count() and camera.publishers["image"].get_subscription_count())
    text = f"the {max(camera.scene.objects, key=lambda seen: seen.pixels).category}"
    while ask(text)[1].status != SegmentationResult.OK:
        pass
    answers = [ask(text) for _ in range(queries)]
    answers = [(seconds, result) for seconds, result in answers if result.status == SegmentationResult.OK]
    stages = [{stage.stage: stage.seconds for stage in result.stages} for _, result in answers]
    overheads = sorted(
        1e3 * (seconds - sum(value for name, value in of.items() if name not in COUNTED_ELSEWHERE))
        for (seconds, _), of in zip(answers, stages, strict=True)
    )
    names = [name for name in stages[0] if name not in COUNTED_ELSEWHERE]
    return {
        "queries": len(answers),
        "overhead (ms)": {"median": round(statistics.median(overheads), 2),
                          "p95": round(overheads[int(0.95 * (len(overheads) - 1))], 2)},
        "whole (ms)": round(1e3 * statistics.median(seconds for seconds, _ in answers), 1),
        "stages (ms)": {name: round(1e3 * statistics.median(of.get(name, 0.0) for of in stages), 1) for name in names},
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
