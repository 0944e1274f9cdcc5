"""Starts the perception node as a process and talks to it over real topics."""

import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import ChangeState, GetState
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from lisa_ros.srv import SubmitQuery
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

HERE = Path(__file__).parent
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVENTS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # takes all, not only the last
SECOND = 1_000_000_000
TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}


def data(pixels):
    out = array("B")
    out.frombytes(np.ascontiguousarray(pixels).tobytes())
    return out


def picture(height=120, width=160):
    """Grey, with a red square and a blue one: (H, W, 3) uint8."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[30:70, 40:80] = (220, 30, 30)
    image[60:90, 110:140] = (30, 30, 220)
    return image


def depth_of(image, metres=1.0):
    """A wall with the squares 10 cm nearer: (H, W) uint16 mm."""
    depth = np.full(image.shape[:2], round(metres * 1000), np.uint16)
    depth[30:70, 40:80] -= 100
    depth[60:90, 110:140] -= 100
    return depth


class PerceptionProcess:
    """The node as a process; its output is in `log`."""

    def __init__(self, namespace, log_path, script, **parameters):
        arguments = [sys.executable, str(HERE / script), "--ros-args", "-r", f"__ns:={namespace}"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name.replace('__', '.')}:={value}"]
        self._path = Path(log_path)
        self._file = self._path.open("w")
        self.process = subprocess.Popen(arguments, stdout=self._file, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def log(self):
        return self._path.read_text()

    def stop(self, number=signal.SIGINT, timeout=15):
        """Exit code after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self._file.close()


class Robot(Node):
    """Camera and user in one: publishes images, asks, and records what the node says."""

    def __init__(self, context, namespace):
        super().__init__("robot", namespace=namespace, context=context)
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)
        self.images = self.create_publisher(Image, "image", SENSOR)
        self.depths = self.create_publisher(Image, "depth", SENSOR)
        self.infos = self.create_publisher(CameraInfo, "camera_info", SENSOR)
        self.words = self.create_publisher(String, "query", QoSProfile(depth=1000))
        self.action = ActionClient(self, Segment, "segment")
        self.results: list[SegmentationResult] = []
        self.feedback: list[Segment.Feedback] = []
        self.seen = {
            "mask": [],
            "points": [],
            "scene_points": [],
            "box": [],
            "markers": [],
            "answer": [],
            "diagnostics": [],
        }
        self.create_subscription(SegmentationResult, "result", self.results.append, EVENTS)
        kinds = {
            "mask": Image,
            "points": PointCloud2,
            "scene_points": PointCloud2,
            "box": PoseStamped,
            "markers": MarkerArray,
            "answer": String,
        }
        self._kinds, self._listeners = kinds, {}
        for topic in kinds:
            self.listen(topic)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._streaming = None
        self._named_clients = {}

    def _on_diagnostics(self, message):
        if message.status[0].name.startswith(self.get_namespace() + "/"):
            self.seen["diagnostics"].append(message.status[0])

    def listen(self, topic):
        """Subscribes to a topic, which all are from the start."""
        listener = self.create_subscription(self._kinds[topic], topic, self.seen[topic].append, LATCHED)
        self._listeners[topic] = listener

    def stop_listening(self, topic):
        self.destroy_subscription(self._listeners.pop(topic))

    # -- time

    def spin(self, seconds):
        self.until(lambda: False, seconds)

    def until(self, condition, timeout=20.0):
        """Spins until condition() holds; returns whether it did."""
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return bool(condition())
            self.executor_.spin_once(timeout_sec=min(left, 0.05))
        return True

    def wait(self, future, timeout=20.0):
        assert self.until(future.done, timeout), "no answer in time"
        return future.result()

    # -- camera

    def stamp(self):
        return self.get_clock().now().nanoseconds

    def show(self, image=None, depth=None, stamp=None, info=True, with_depth=True, frame_id="camera"):
        """Publishes one moment of the camera; returns its stamp in ns. image: pixels, or what gives them."""
        image = picture() if image is None else image() if callable(image) else image
        stamp = self.stamp() if stamp is None else stamp
        height, width = image.shape[:2]
        message = Image(height=height, width=width, encoding="rgb8", step=width * 3, data=data(image))
        messages = [(self.images, message)]
        if with_depth:
            depth = depth_of(image) if depth is None else depth
            messages.append(
                (
                    self.depths,
                    Image(
                        height=depth.shape[0],
                        width=depth.shape[1],
                        encoding="16UC1",
                        step=depth.shape[1] * 2,
                        data=data(depth),
                    ),
                )
            )
        if info:
            k = [150.0, 0.0, width / 2, 0.0, 150.0, height / 2, 0.0, 0.0, 1.0]
            messages.append((self.infos, CameraInfo(height=height, width=width, k=k)))
        for publisher, message in messages:
            message.header.frame_id = frame_id
            message.header.stamp.sec, message.header.stamp.nanosec = stamp // SECOND, stamp % SECOND
            publisher.publish(message)
        return stamp

    def stream(self, rate=10.0, **options):
        """Keeps showing while spinning."""
        self.stop_stream()
        self._streaming = self.create_timer(1 / rate, lambda: self.show(**options))

    def stop_stream(self):
        if self._streaming is not None:
            self.destroy_timer(self._streaming)
            self._streaming = None

    # -- user

    def say(self, text):
        self.words.publish(String(data=text))

    def ask(self, text, timeout=20.0):
        """Says it and returns its result."""
        before = len(self.results)
        self.say(text)
        assert self.until(lambda: any(r.query == text for r in self.results[before:]), timeout), (
            f"no result for {text!r}"
        )
        return next(r for r in self.results[before:] if r.query == text)

    def ask_about(self, stamp, text):
        """As `ask`, again until the image of that stamp has come through and is the one that is asked about."""
        for attempt in range(20):
            result = self.ask(f"{text}{' ' * attempt}")
            if result.header.stamp.sec * SECOND + result.header.stamp.nanosec == stamp:
                return result
            self.spin(0.05)
        raise AssertionError(f"the image of {stamp} never came through; the last result: {result}")

    def results_of(self, text):
        return [result for result in self.results if result.query == text]

    def send(self, text, **goal):
        """Sends a goal; returns its handle."""
        stamp = goal.pop("image_stamp", 0)
        message = Segment.Goal(query=text, **{"with_cloud": True, **goal})
        message.image_stamp.sec, message.image_stamp.nanosec = stamp // SECOND, stamp % SECOND
        return self.wait(
            self.action.send_goal_async(message, feedback_callback=lambda f: self.feedback.append(f.feedback))
        )

    def goal(self, text, timeout=20.0, **goal):
        """(status of the action, SegmentationResult) of a goal that is accepted."""
        handle = self.send(text, **goal)
        assert handle.accepted
        response = self.wait(handle.get_result_async(), timeout)
        return response.status, response.result.result

    def call(self, kind, name, request, timeout=20.0):
        return self.wait(self._client(kind, name, timeout).call_async(request), timeout)

    def _client(self, kind, name, timeout=20.0):
        if name not in self._named_clients:
            self._named_clients[name] = self.create_client(kind, name)
        client = self._named_clients[name]
        assert self.until(client.service_is_ready, timeout), f"no service {name}"
        return client

    def look_up(self, kind, name, request):
        """As `call`, for services that change nothing: while both ends discover each other an answer can get lost."""
        for _ in range(4):
            try:
                return self.call(kind, name, request, 5.0)
            except AssertionError:
                continue
        return self.call(kind, name, request)

    def submit(self, text, **options):
        """The response of the service `submit`."""
        return self.call(SubmitQuery, "submit", SubmitQuery.Request(query=text, **{"with_cloud": True, **options}))

    def result_with(self, query_id, timeout=20.0):
        """The one result with an id."""
        assert self.until(lambda: any(result.query_id == query_id for result in self.results), timeout)
        return next(result for result in self.results if result.query_id == query_id)

    def trigger(self, name):
        return self.call(Trigger, name, Trigger.Request())

    def transition(self, label, timeout=15.0):
        return self.wait(self.begin_transition(label), timeout).success

    def begin_transition(self, label):
        """Future of a ChangeState.Response."""
        client = self._client(ChangeState, "perception/change_state")
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[label]
        return client.call_async(request)

    def state(self):
        return self.look_up(GetState, "perception/get_state", GetState.Request()).current_state.label

    def set(self, **parameters):
        """(successful, reason) of setting parameters one by one."""
        wanted = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in parameters.items()
        ]
        answers = self.call(
            SetParameters, "perception/set_parameters", SetParameters.Request(parameters=wanted)
        ).results
        return [(answer.successful, answer.reason) for answer in answers]

    def get(self, name):
        response = self.look_up(GetParameters, "perception/get_parameters", GetParameters.Request(names=[name]))
        return rclpy.parameter.parameter_value_to_python(response.values[0])

    def _first_goal(self):
        """Until goals are answered: the first answers may be lost while the node has not discovered this client."""
        for _ in range(10):
            sent = self.action.send_goal_async(Segment.Goal(query="red as a first goal"))
            if self.until(sent.done, 2.0):
                self.wait(sent.result().get_result_async())
                return
        raise AssertionError("no goal is answered")

    def until_active(self, process, timeout=40.0):
        """Until the node is active and its topics are matched both ways: an image and a question have come through."""
        publishers = (self.words, self.images, self.infos, self.depths)
        topics = ("result", "points", "markers", "box", "answer", "mask", "scene_points")

        def matched():
            return all(p.get_subscription_count() for p in publishers) and all(map(self.count_publishers, topics))

        ready = self.until(lambda: process.poll() is not None or (self.action.server_is_ready() and matched()), timeout)
        assert process.poll() is None, "the node ended"
        assert ready, "the node did not become active"
        self._first_goal()
        self.results.clear()
        end = time.monotonic() + timeout
        while not any(result.status == SegmentationResult.OK for result in self.results):
            assert time.monotonic() < end, "no image comes through"
            self.show()
            self.say("red as a first try")
            self.until(lambda: self.results and self.results[-1].status == SegmentationResult.OK, 0.5)
        self.spin(0.3)  # answers to further tries
        self.results.clear()

    def diagnostics(self):
        """Values of the newest diagnostics, once they are new."""
        before = len(self.seen["diagnostics"])
        assert self.until(lambda: len(self.seen["diagnostics"]) > before, 5)
        status = self.seen["diagnostics"][-1]
        return {"message": status.message, "level": status.level, **{value.key: value.value for value in status.values}}

    def close(self):
        self.stop_stream()
        self.executor_.remove_node(self)
        self.action.destroy()
        self.destroy_node()
