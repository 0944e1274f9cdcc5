"""A robot with a broken camera and impatient users, and the books that say whether every query got its one result."""

import subprocess
import sys
import time
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
from action_msgs.srv import CancelGoal
from lifecycle_msgs.srv import ChangeState, GetState
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND, PerceptionProcess, Robot, data, depth_of, picture
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

PATIENCE = 30.0  # s; reached on a machine that is busy with other things, and where something is wrong


class NodeProcess(PerceptionProcess):
    """A perception node in a process of its own; program: what Python runs."""

    def __init__(self, namespace, log_path, program, **parameters):
        arguments = [sys.executable, *map(str, program), "--ros-args", "-r", f"__ns:={namespace}"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        self._path = Path(log_path)
        self._file = self._path.open("w")
        self.process = subprocess.Popen(arguments, stdout=self._file, stderr=subprocess.STDOUT, start_new_session=True)


class FaultRobot(Robot):
    """Every query that it sends is noted in `asked`; `results` holds all that came back."""

    def __init__(self, context, namespace):
        super().__init__(context, namespace)
        self._last_stamp = 0
        deep = QoSProfile(depth=1000)  # holds the answers to a burst of goals until they are read
        self.action.destroy()
        self.action = ActionClient(
            self, Segment, "segment", goal_service_qos_profile=deep, result_service_qos_profile=deep
        )
        self.asked = Counter()
        self.probes = 0
        services = {
            "perception/get_parameters": GetParameters,
            "perception/set_parameters": SetParameters,
            "perception/get_state": GetState,
            "perception/change_state": ChangeState,
            "cancel": Trigger,
            "forget": Trigger,
            "segment/_action/cancel_goal": CancelGoal,
        }
        # all at once and early, so that none is used in the moment of its discovery, when an answer can get lost
        self._named_clients = {name: self.create_client(kind, name) for name, kind in services.items()}

    # -- time

    def wait(self, future, timeout=PATIENCE):
        return super().wait(future, timeout)

    def until(self, condition, timeout=PATIENCE):
        return super().until(condition, timeout)

    # -- user

    def say(self, text):
        self.asked[text] += 1
        super().say(text)

    def ask(self, text, timeout=PATIENCE):
        return super().ask(text, timeout)

    def send(self, text, **goal):
        """Sends a goal; returns its handle. `feedback` is from then on that of this goal alone."""
        return self.send_many([text], **goal)[0]

    def send_many(self, texts, **goal):
        """Sends goals without waiting in between; returns their handles."""
        self.asked.update(texts)
        stamp = goal.pop("image_stamp", 0)
        self.feedback = feedback = []
        futures = []
        for text in texts:
            message = Segment.Goal(query=text, **{"with_cloud": True, **goal})
            message.image_stamp.sec, message.image_stamp.nanosec = stamp // SECOND, stamp % SECOND
            futures.append(
                self.action.send_goal_async(message, feedback_callback=lambda sent: feedback.append(sent.feedback))
            )
        return [self.wait(future) for future in futures]

    def outcome(self, handle, timeout=PATIENCE):
        """(status of the action, SegmentationResult) of an accepted goal."""
        assert handle.accepted
        response = self.wait(handle.get_result_async(), timeout)
        return response.status, response.result.result

    def stage_seen(self, stage):
        """Waits for a feedback of that stage."""
        assert self.until(lambda: any(feedback.stage == stage for feedback in self.feedback)), f"no stage {stage}"

    def ask_about(self, text, *moment, rate=10.0, **options):
        """Result of a goal about one moment of the camera, which is shown again and again until then."""
        stamp = self.fresh_stamp()
        self.repeat(lambda: self.moment(*moment, stamp=stamp, **options), rate)
        try:
            # RegisteredDepth and camera_info come on topics of their own; after this one they are there as well.
            self.outcome(self.send(f"nothing before {text}", image_stamp=stamp, with_cloud=False))
            return self.outcome(self.send(text, image_stamp=stamp))[1]
        finally:
            self.stop_stream()

    def plain(self):
        """A plain query about a good image is answered with a mask and a cloud, whatever happened before."""
        self.probes += 1
        result = self.ask_about(f"red, probe {self.probes}")
        assert result.status == Result.OK and result.targets[0].has_box, (result.status, result.message)
        return result

    def hello(self, node):
        """Until the node hears and is heard on every topic; those queries are not in the books."""
        self.stop_stream()
        self.wait_until_active(node)
        deadline = time.monotonic() + 60
        self.stream(rate=20)
        count = 0
        while time.monotonic() < deadline and node.process.poll() is None:
            count += 1
            text = f"red, hello {node.process.pid} {count}"
            Robot.say(self, text)
            if self.until(lambda text=text: self.results_of(text), 1.0):
                result = self.results_of(text)[0]
                if result.status == Result.OK and result.targets[0].has_box:
                    break
        else:
            raise AssertionError(f"the node does not answer; its log:\n{node.log}")
        self.stop_stream()
        assert self.until(lambda: all(client.service_is_ready() for client in self._named_clients.values()))
        assert self.until(self.action.server_is_ready)
        self.wait_for_service_answers()

    def wait_until_active(self, node):
        """Until the node says so; asked earlier, it would be busy with saying no."""
        assert self.until(lambda: "active, subscribed" in node.log or node.process.poll() is not None, 90), node.log

    def hello_again(self):
        """Until the node hears the camera, whose topics it has just subscribed to anew."""
        self.stream(rate=20)
        assert self.until(lambda: self.ask(f"red, hello again {self.stamp()}").status == Result.OK)
        self.stop_stream()

    def wait_for_service_answers(self):
        """Until the parameter service has answered once; the first answers can get lost during discovery."""
        client = self._named_clients["perception/get_parameters"]
        for _ in range(20):
            future = client.call_async(GetParameters.Request(names=["model"]))
            if Robot.until(self, future.done, 2.0):
                return
        raise AssertionError("the parameter service does not answer")

    # -- books

    def counts(self, texts):
        """How many results each of these texts got."""
        got = Counter(result.query for result in self.results)
        return {text: got[text] for text in texts}

    def owed(self):
        """Texts that got fewer results than they were asked."""
        return [text for text, count in self.counts(self.asked).items() if count < self.asked[text]]

    def settle(self):
        """Everything asked gets exactly one result, and a plain query works."""
        assert self.until(lambda: not self.owed()), f"no result for {[text[:80] for text in self.owed()]}"
        self.plain()
        assert self.until(lambda: not self.owed())
        got = self.counts(self.asked)
        too_many = {text[:80]: got[text] for text in self.asked if got[text] > self.asked[text]}
        assert not too_many, f"more than one result for {too_many}"

    # -- camera

    def publish_image(self, pixels, encoding, *, stamp=None, depth=False, frame_id="camera", **lies):
        """Publishes (H, W) or (H, W, C) pixels; `lies` overwrite fields of the message."""
        pixels = np.ascontiguousarray(pixels)
        step = pixels.strides[0] if pixels.size else 0
        fields = {"height": pixels.shape[0], "width": pixels.shape[1], "step": step, "data": data(pixels)}
        message = Image(encoding=encoding, **{**fields, **lies})
        self._publish(self.depths if depth else self.images, message, stamp, frame_id)

    def publish_info(self, height, width, *, stamp=None, frame_id="camera", **fields):
        """Publishes intrinsics of a size; `fields` overwrite the message's."""
        k = [150.0, 0.0, width / 2, 0.0, 150.0, height / 2, 0.0, 0.0, 1.0]
        message = CameraInfo(**{"height": height, "width": width, "k": k, **fields})
        self._publish(self.infos, message, stamp, frame_id)

    def fresh_stamp(self):
        """Now, and too far from all earlier moments for their depth to belong to it."""
        self._last_stamp = max(self.stamp(), self._last_stamp + SECOND // 20)
        return self._last_stamp

    def show(self, *arguments, **options):
        return super().show(*arguments, **{"stamp": self.fresh_stamp(), **options})

    def moment(self, image=None, depth=None, *, encoding="rgb8", depth_encoding=None, stamp=None, info=None, **lies):
        """One moment of a camera: image, depth (None: a good one; False: none) and camera_info (fields or False)."""
        image = picture() if image is None else image
        stamp = self.fresh_stamp() if stamp is None else stamp
        if depth is None:
            depth = depth_of(image)
        if depth is not False:
            kind = depth_encoding or ("16UC1" if depth.dtype == np.uint16 else "32FC1")
            self.publish_image(depth, kind, stamp=stamp, depth=True)
        if info is not False:
            self.publish_info(**{"height": image.shape[0], "width": image.shape[1], **(info or {})}, stamp=stamp)
        self.publish_image(image, encoding, stamp=stamp, **lies)
        return stamp

    def repeat(self, call, rate=10.0):
        """Calls something again and again while spinning, as a camera does; `stop_stream` ends it."""
        self.stop_stream()
        call()
        self._streaming = self.create_timer(1 / rate, call)

    def diagnosed(self, key, condition, timeout=PATIENCE):
        """Waits for a value of the diagnostics that fulfils condition; returns it."""

        def newest():
            if not self.seen["diagnostics"]:
                return None
            return {value.key: value.value for value in self.seen["diagnostics"][-1].values}.get(key)

        assert self.until(lambda: newest() is not None and condition(newest()), timeout), f"{key} is {newest()}"
        return newest()

    def _publish(self, publisher, message, stamp, frame_id):
        stamp = self.stamp() if stamp is None else stamp
        message.header.frame_id = frame_id
        message.header.stamp.sec, message.header.stamp.nanosec = stamp // SECOND, stamp % SECOND
        publisher.publish(message)


def raw_string(content: bytes) -> bytes:
    """std_msgs/String in CDR with any bytes, which no rclpy setter would let through."""
    size = len(content) + 1
    return bytes(array("B", [0, 1, 0, 0])) + size.to_bytes(4, "little") + content + b"\0"
