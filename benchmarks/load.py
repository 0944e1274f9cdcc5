"""Many clients and several cameras on one node: who waits how long, what queues, and whether memory stays flat.

    python benchmarks/load.py --clients 4 --cameras 2 --seconds 600 --json FILE

The real node; each client and each camera is a process. Clients ask by the action as fast as they get answers. The
model is a scripted one that answers at once (tests/nodes/scripted_engine.py), so that what is measured is the node, or
with `--packaged` the packaged model. At last `--burst` goals are sent at once: no more than `queue_size` of them may
wait, the others are rejected. Exit status 0 where every query had exactly one result on the topic `result`, no client
got less than half as much as another, the queue kept its bound, and the node's memory grew by less than 1 % in the
second half of the time.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
# Before rclpy is imported: loopback, and a domain that no robot uses.
os.environ.setdefault("ROS_DOMAIN_ID", str(50 + os.getpid() % 50))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(HERE.parent / "config" / "fastdds.xml"))

import rclpy  # noqa: E402
from lisa_ros.msg import SegmentationResult  # noqa: E402
from load_client import NAMESPACE  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402

from lisa_ros.client import PerceptionClient  # noqa: E402
from lisa_ros.errors import GoalRejectedError, NoResultError  # noqa: E402

QUEUE_SIZE = 8
FAIR = 0.5  # of the client that got most answers
FLAT, WARM = 0.01, 300  # of the memory at half time; results by then, without which it is not judged
START = 300.0  # s
BURST_SECONDS = 0.5  # for which the scripted model answers a goal of the burst
ROS_ARGS = ["--ros-args", "-r", f"__ns:={NAMESPACE}"]
SCRIPTED = HERE.parent / "tests" / "nodes" / "run_scripted.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--cameras", type=int, default=2, help="that publish to the node (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=15.0, help="images a second of each (default: %(default)s)")
    parser.add_argument("--size", default="640x480", help="of their images (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they ask (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=40, help="goals at once at the end (default: %(default)s)")
    parser.add_argument("--packaged", action="store_true", help="ask the packaged model, not the scripted one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    camera = [HERE / "plain_camera.py", "--rate", str(args.rate), "--size", args.size, *ROS_ARGS]
    figures = measure(args.clients, args.cameras * [camera], args.seconds, args.burst, args.packaged)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(bool(figures["faults of the node"]))


def measure(clients: int, cameras: list[list], seconds: float, burst: int, packaged: bool) -> dict:
    """Figures of one run; "faults of the node" lists what is not as it has to be."""
    program = ["-m", "lisa_ros.nodes.perception"] if packaged else [SCRIPTED]
    parameters = {"queue_size": QUEUE_SIZE, "image_timeout": 10.0, "max_image_age": 10.0}
    options = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        log = Path(folder) / "log.txt"
        node = stack.enter_context(process([*program, *ROS_ARGS, *options], log))
        until(lambda: "active, subscribed" in log.read_text(), log)
        for camera in cameras:
            stack.enter_context(process(camera))
        watcher = stack.enter_context(Watcher())
        until(lambda: watcher.ask("red first").status.has_masks, log)
        files = [Path(folder) / f"client{number}.jsonl" for number in range(clients)]
        asking = [
            stack.enter_context(process([HERE / "load_client.py", f"client {number}", str(seconds), file]))
            for number, file in enumerate(files)
        ]
        memory: list[tuple[int, float]] = []
        while any(one.poll() is None for one in asking):
            watcher.spin(1.0)
            memory.append((len(watcher.results), resident_mb(node.pid)))
        lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
        rejected, answered, rejecting = watcher.burst(burst)
        watcher.spin(1.0)
        lost = node.poll() is not None
        counts = Counter(watcher.results)
    figures = summary(lines, memory) | {
        "clients": clients,
        "cameras": len(cameras),
        "model": "packaged" if packaged else "scripted",
        "burst": {
            "sent": burst,
            "answered": answered,
            "rejected": rejected,
            "queue_size": QUEUE_SIZE,
            "seconds": round(rejecting, 2),  # until the last one was rejected
        },
    }
    figures["faults of the node"] = faults(figures, lines, counts, lost)
    return figures


def summary(lines: list[list[dict]], memory: list[tuple[int, float]]) -> dict:
    """Counts, latencies and memory."""
    outcomes = Counter(line["outcome"] for of in lines for line in of)
    answered = [sum(line["outcome"] == "OK" for line in of) for of in lines]
    late = [line["started"] + line["seconds"] for of in lines for line in of]
    begin = min(line["started"] for of in lines for line in of)
    span = max(late) - begin
    half = [mb for _, mb in memory[len(memory) // 2 :]]
    fifth = max(1, len(half) // 5)
    return {
        "queries": sum(outcomes.values()),
        "queries a second": round(sum(outcomes.values()) / span, 1),
        "outcomes": dict(outcomes),
        "without a result": [
            f"{line['text']}: {line['outcome']} {line['started'] - begin:.0f} s after the beginning"
            for of in lines
            for line in of
            if line["outcome"].endswith("Error") and line["outcome"] != GoalRejectedError.__name__
        ],
        "answered by client": answered,
        "latency (ms)": percentiles([line["seconds"] for of in lines for line in of]),
        "latency by client (ms)": [percentiles([line["seconds"] for line in of]) for of in lines],
        "memory (MB)": {
            "at half time": round(statistics.median(half[:fifth]), 1),
            "at the end": round(statistics.median(half[-fifth:]), 1),
            "results at half time": memory[len(memory) // 2][0],
            "results at the end": memory[-1][0],
        },
    }


def faults(figures: dict, lines: list[list[dict]], counts: Counter, lost: bool) -> list[str]:
    """What is not as it has to be."""
    found = ["the node ended"] if lost else []
    wrong = [line["text"] for of in lines for line in of if counts[line["text"]] != 1]
    if wrong:
        found.append(f"{len(wrong)} queries without exactly one result, the first one is {wrong[0]!r}")
    if figures["without a result"]:
        found.append(f"clients got no result: {figures['without a result']}")
    answered = figures["answered by client"]
    if min(answered) < FAIR * max(answered):
        found.append(f"unfair: answers by client are {answered}")
    memory = figures["memory (MB)"]
    if memory["results at half time"] >= WARM and memory["at the end"] > (1 + FLAT) * memory["at half time"]:
        found.append(f"memory grows: {memory}")
    burst = figures["burst"]
    if burst["answered"] + burst["rejected"] != burst["sent"]:
        found.append(f"goals of the burst were neither answered nor rejected: {burst}")
    # Beside those that wait one runs, and some may be answered while the last ones are on their way.
    if burst["answered"] > QUEUE_SIZE + 2 + burst["seconds"] / BURST_SECONDS:
        found.append(f"the queue is not bounded: {burst}")
    return found


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Of latencies, in ms."""
    values = sorted(seconds)
    rank = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(1e3 * values[round(share * (len(values) - 1))], 1) for name, share in rank.items()}


class Watcher:
    """Subscribes to all results, and sends the burst."""

    def __enter__(self) -> "Watcher":
        rclpy.init()
        self.results: list[str] = []
        self._node = rclpy.create_node("watcher", namespace=NAMESPACE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        durable = QoSProfile(depth=2000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(
            SegmentationResult, "result", lambda one: self.results.append(one.query), durable
        )
        self._client = PerceptionClient(NAMESPACE, clouds="none", discovery_timeout=60)
        return self

    def __exit__(self, *_):
        self._client.close()
        self._node.destroy_node()
        rclpy.shutdown()

    def _on_result(self, result: SegmentationResult):
        self.results.append(result.query)

    def spin(self, seconds: float):
        """Takes results for some time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def ask(self, text: str):
        """The result of one query."""
        return self._client.ask(text, timeout=60, with_cloud=False)

    def burst(self, count: int) -> tuple[int, int, float]:
        """Sends goals at once that keep the model busy.

        Returns how many were rejected, how many answered, and the s until the last one was rejected.
        """
        texts = [f"red sleep {BURST_SECONDS} in a burst {number}" for number in range(count)]
        started, ends = time.monotonic(), []
        handles = [self._client.ask_async(text, timeout=120, with_cloud=False) for text in texts]
        rejected = answered = 0
        for handle in handles:
            handle.future.add_done_callback(lambda future: ends.append((time.monotonic(), future.exception())))
        for handle in handles:
            try:
                answered += handle.result().status.has_masks
            except GoalRejectedError:
                rejected += 1
            except NoResultError:  # neither: a fault
                continue
            self.spin(0.01)
        seconds = max((end - started for end, error in ends if isinstance(error, GoalRejectedError)), default=0.0)
        return rejected, answered, seconds


@contextmanager
def process(arguments: list, log: Path | None = None):
    """A Python program in a process of its own, which ends with the context."""
    with ExitStack() as stack:
        out = stack.enter_context(log.open("w")) if log else subprocess.DEVNULL
        command = [sys.executable, *map(str, arguments)]
        one = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield one
        finally:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
            try:
                one.wait(30)
            except subprocess.TimeoutExpired:
                one.kill()


def until(condition, log: Path):
    """Waits for the node."""
    end = time.monotonic() + START
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {START:g} s for the node; its log: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except FileNotFoundError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
