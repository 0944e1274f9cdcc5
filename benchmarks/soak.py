"""Ten minutes of a robot's bad day: random faults around the real node, and at the end it still answers.

    python benchmarks/soak.py --seconds 600 --json benchmarks/soak.json

The node with the packaged model, a camera and users beside it, on a ROS domain of their own. Faults: a camera that
stops, changes its size and its encoding or loses its depth; goals that are cancelled, words that supersede one another;
lifecycle transitions; parameters, good and bad ones; a clock that jumps; a cloud process that is killed or stopped.
Exit status 0 where every query had exactly one result, the node lives, and its last five queries are answered with
clouds.
"""

import argparse
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
# Before rclpy is imported: loopback, and a domain that no robot uses.
os.environ.update(ROS_DOMAIN_ID=str(50 + os.getpid() % 50), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(HERE.parent / "config" / "fastdds.xml"))

import rclpy  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from lisa_ros.action import Segment  # noqa: E402
from lisa_ros.msg import SegmentationResult  # noqa: E402
from rcl_interfaces.srv import GetParameters, SetParameters  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from soak_world import FaultyCamera, NodeUnderTest  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

QUESTIONS = ("the mug", "Hand me something to cut the bread with.", "Which fruit is there?", "the red thing",
             "the tallest object", "a zebra", "What is on the table?")  # fmt: skip
CHANGES = {
    "mode": ("chat", "mask", "song"), "max_new_tokens": (64, 512, 0), "queue_size": (1, 8, -1),
    "target_frame": ("", "map"), "sync_tolerance": (0.02, 0.0), "with_cloud": (True, False),
    "cloud.voxel_size": (0.002, 0.01, -1.0), "standing_query": ("", "the fork"), "max_image_age": (2.0, 0.5),
}  # fmt: skip
GOOD = {name: values[0] for name, values in CHANGES.items()} | {"queue_size": 8}
END_WAIT = 60.0  # s for what is still owed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long faults go on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, NodeUnderTest(Path(folder) / "log.txt") as node:
        figures = Soak(node, random.Random(args.seed)).run(args.seconds)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(bool(figures["faults of the node"]))


class Soak:
    """Camera, clock, users and the books of who got which result."""

    def __init__(self, node: NodeUnderTest, chance: random.Random):
        rclpy.init()
        self.tested, self.chance = node, chance
        self.ros = ros = rclpy.create_node("robot", namespace="/soak")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(ros)
        self.camera = FaultyCamera(ros, chance)
        self.words = ros.create_publisher(String, "query", QoSProfile(depth=1000))
        self.action = ActionClient(ros, Segment, "segment")
        durable = QoSProfile(depth=2000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.results: list = []
        ros.create_subscription(SegmentationResult, "result", self.results.append, durable)
        self.services = {
            "get": ros.create_client(GetParameters, "perception/get_parameters"),
            "set": ros.create_client(SetParameters, "perception/set_parameters"),
            "change": ros.create_client(ChangeState, "perception/change_state"),
            "state": ros.create_client(GetState, "perception/get_state"),
            "cancel": ros.create_client(Trigger, "cancel"),
            "forget": ros.create_client(Trigger, "forget"),
        }
        self.numbers = itertools.count()  # no two questions have the same words, but where that is meant
        self.said: list[str] = []
        self.goals: list = []  # (text, future of the result)
        self.transition, self.pending_transitions = None, []
        self.pings: list[float] = []
        self.counts: Counter = Counter()
        ros.create_timer(1.0, self._ping)

    # -- the day

    def run(self, seconds: float) -> dict:
        self._wait(lambda: "active, subscribed" in self.tested.log(), 120, "the node to become active")
        self._wait(lambda: all(client.service_is_ready() for client in self.services.values()), 30, "its services")
        self._wait(lambda: self._ask_until_ok(10), 60, "a first answer")
        memory = [self.tested.memory_mb()]
        faults = {
            self._say: 8, self._repeat_words: 1, self._goal: 4, self._cancelled_goal: 4, self._cancel_all: 1,
            self._forget: 0.5, self._change_parameter: 2, self._cycle: 0.7, self._full_cycle: 0.3,
            self._kill_helper: 0.3, self._stop_helper: 0.2, self.camera.stop: 1, self.camera.change_size: 1,
            self.camera.change_encoding: 1, self.camera.lose_depth: 1, self.camera.jump: 0.6,
        }  # fmt: skip
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.tested.process.poll() is None:
            [fault] = self.chance.choices(list(faults), faults.values())
            self.counts[fault.__name__.strip("_")] += 1
            fault()
            self._spin(self.chance.expovariate(1 / 0.25))
            if len(memory) < 1 + 4 * (1 - (end - time.monotonic()) / seconds):
                memory.append(self.tested.memory_mb())
        problems = self._settle()
        answered = [result.stages for result in self.results if result.status == SegmentationResult.OK]
        latencies = sorted(stage.seconds for stages in answered for stage in stages if stage.stage == "total")
        return {
            "seconds": seconds, "faults": dict(self.counts), "queries": len(self.said) + len(self.goals),
            "results": dict(Counter(int(result.status) for result in self.results)),
            "ok latency (s)": quantiles(latencies), "parameter call (s)": quantiles(sorted(self.pings)),
            "memory of the node (MB)": [round(value) for value in memory],
            "faults of the node": problems,
        }  # fmt: skip

    def _settle(self) -> list[str]:
        """Everything good again; what is wrong all the same."""
        if self.tested.process.poll() is not None:
            return [f"the node ended with {self.tested.process.returncode}: {self.tested.log()[-2000:]}"]
        problems = []
        self.camera.heal()
        for pid in self.tested.helpers():
            os.kill(pid, signal.SIGCONT)
        for name, value in GOOD.items():
            self._set(name, value)
        try:
            self._wait(lambda: not (self.transition or self.pending_transitions), 60, "the last transition")
            self._bring_back()
            self._wait(lambda: not self._owed(), END_WAIT, "results that are owed")
        except TimeoutError as error:
            problems.append(f"{error}: {self._owed()[:5]}")
        got = Counter(result.query for result in self.results)
        said = Counter(self.said)
        problems += [f"{got[text]} results for {text!r}" for text in said if got[text] > said[text]][:5]
        answered = sum(self._ask_until_ok(15) for _ in range(5))
        if answered < 5:
            problems.append(f"at the end {answered} of 5 were answered; its log ends {self.tested.log()[-1500:]}")
        if "Traceback" in self.tested.log():
            log = self.tested.log()
            problems.append("a traceback in its log: " + log[log.index("Traceback") :][:1500])
        return problems

    def _bring_back(self):
        """To the state active, from wherever the faults left it."""
        for _ in range(4):
            request = self.services["state"].srv_type.Request()
            answer = self._call("state", request, 15)
            steps = {"unconfigured": "configure", "inactive": "activate"}
            step = steps.get(answer.current_state.label)
            if step is None:
                return
            self._call("change", change_request(step), 60)

    def _owed(self) -> list[str]:
        got, said = Counter(result.query for result in self.results), Counter(self.said)
        goals = [text for text, future in self.goals if not future.done()]
        return [text for text in said if got[text] < said[text]] + goals

    # -- users

    def _text(self) -> str:
        return f"{self.chance.choice(QUESTIONS)} {next(self.numbers)}"

    def _say(self, text: str = ""):
        text = text or self._text()
        self.said.append(text)
        self.words.publish(String(data=text))

    def _repeat_words(self):
        text = self._text()
        for _ in range(20):
            self._say(text)
            self._spin(0.05)

    def _goal(self, conversation: str = "") -> object | None:
        text = self._text()
        chosen = conversation or self.chance.choice(("", "", "", "kitchen", "hall"))
        goal = Segment.Goal(query=text, with_cloud=self.chance.random() < 0.8, conversation_id=chosen)
        sent = self.action.send_goal_async(goal)
        try:
            self._wait(sent.done, 15, "an answer to a goal")
        except TimeoutError:  # a goal that is in the books has no result, and so it is found
            self.goals.append((text, sent))
            return None
        if not sent.result().accepted:
            return None
        self.goals.append((text, sent.result().get_result_async()))
        return sent.result()

    def _cancelled_goal(self):
        handle = self._goal()
        self._spin(self.chance.choice((0.0, 0.02, 0.1, 0.3, 0.6)))
        if handle is not None:
            handle.cancel_goal_async()

    def _ask_until_ok(self, tries: int) -> bool:
        for _ in range(tries):
            before = len(self.results)
            text = self._text()
            self._say(f"What is on the table? {text}")
            self._wait(lambda before=before: len(self.results) > before, 30, "a result")
            if any(result.status == 0 and result.targets[0].has_box for result in self.results[before:]):
                return True
            self._spin(0.5)
        return False

    def _cancel_all(self):
        self.services["cancel"].call_async(self.services["cancel"].srv_type.Request())

    def _forget(self):
        self.services["forget"].call_async(self.services["forget"].srv_type.Request())

    # -- the node's life

    def _change_parameter(self):
        name = self.chance.choice(list(CHANGES))
        self._set(name, self.chance.choice(CHANGES[name]))

    def _set(self, name: str, value):
        request = self.services["set"].srv_type.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        self.services["set"].call_async(request)

    def _cycle(self):
        self.pending_transitions += ["deactivate", "activate"]
        self._go_on()

    def _full_cycle(self):
        self.pending_transitions += ["deactivate", "cleanup", "configure", "activate"]
        self._go_on()

    def _go_on(self, done=None):
        if done is not None:
            self.transition = None
        if self.transition is None and self.pending_transitions:
            self.transition = self.services["change"].call_async(change_request(self.pending_transitions.pop(0)))
            self.transition.add_done_callback(self._go_on)

    def _kill_helper(self):
        for pid in self.tested.helpers():
            os.kill(pid, signal.SIGKILL)

    def _stop_helper(self):
        for pid in self.tested.helpers():
            os.kill(pid, signal.SIGSTOP)

    def _ping(self):
        started = time.perf_counter()
        future = self.services["get"].call_async(self.services["get"].srv_type.Request(names=["mode"]))
        future.add_done_callback(lambda _: self.pings.append(time.perf_counter() - started))

    # -- time

    def _call(self, name: str, request, timeout: float):
        future = self.services[name].call_async(request)
        self._wait(future.done, timeout, f"the service {name}")
        return future.result()

    def _spin(self, seconds: float):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def _wait(self, condition, timeout: float, what: str):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
            self.executor.spin_once(timeout_sec=0.05)


def change_request(label: str):
    request = ChangeState.Request()
    request.transition.label = label
    return request


def quantiles(ordered: list[float]) -> dict:
    if not ordered:
        return {}
    return {"median": round(statistics.median(ordered), 4), "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 4),
            "max": round(ordered[-1], 4), "n": len(ordered)}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
