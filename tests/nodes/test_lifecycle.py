"""States of the node and what it does in each; its start, its end, and a clock that jumps."""

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import LATCHED, SECOND, picture
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def manual(start):
    process, robot = start(active=False, autostart=False)
    assert robot.until(lambda: robot.words.get_subscription_count() > 0 and robot.count_publishers("result") > 0, 30)
    return process, robot


def test_the_states_in_order_and_a_result_in_each(manual):
    process, robot = manual
    assert robot.state() == "unconfigured"
    assert robot.ask("too early").status == Result.REJECTED
    rejected = robot.send("much too early")
    assert not rejected.accepted
    assert robot.transition("configure") and robot.state() == "inactive"
    idle = robot.ask("still too early")
    assert idle.status == Result.REJECTED and "not active" in idle.message
    assert robot.transition("activate") and robot.state() == "active"
    robot.until_active(process.process)
    robot.stream()
    assert robot.ask("red now").status == Result.OK
    assert robot.transition("deactivate") and robot.state() == "inactive"
    assert robot.until(lambda: robot.images.get_subscription_count() == 0), "an inactive node leaves the camera alone"
    assert robot.transition("cleanup") and robot.state() == "unconfigured"
    assert robot.set(precision="bf16") == [(True, "")]
    assert robot.transition("configure") and robot.transition("activate")
    robot.until_active(process.process)
    assert "bf16" in robot.ask("red in bf16").model
    assert robot.set(precision="fp32")[0][0] is False
    robot.stop_stream()


@pytest.mark.parametrize("words", ["sleep 20 red", "block 1.5 red"])
def test_deactivating_and_cleaning_up_end_a_running_query(manual, words):
    process, robot = manual
    robot.stream()
    goal = robot.send(f"{words} goal")
    waiting = robot.send(f"{words} waiting")
    robot.spin(0.7)
    assert robot.transition("deactivate")
    for handle in (goal, waiting):
        response = robot.wait(handle.get_result_async())
        assert response.status == GoalStatus.STATUS_ABORTED
        assert response.result.result.status == Result.CANCELLED and "deactivated" in response.result.result.message
    assert robot.until(lambda: all(robot.results_of(f"{words} {name}") for name in ("goal", "waiting")))
    assert robot.transition("cleanup") and robot.transition("configure") and robot.transition("activate")
    assert all(len(robot.results_of(f"{words} {name}")) == 1 for name in ("goal", "waiting"))
    robot.until_active(process.process)
    assert not robot.results_of(f"{words} goal"), "and none comes later"
    robot.stop_stream()


def test_a_late_subscriber_gets_the_last_answer_and_nothing_after_cleanup(manual):
    process, robot = manual
    robot.stream()
    last = robot.ask("red for latecomers")
    robot.stop_stream()
    robot.spin(4.0)  # until what was cancelled before is forgotten, which takes a second or two

    def latched():
        seen = {"result": [], "mask": []}
        subscriptions = [
            robot.create_subscription(Result, "result", seen["result"].append, LATCHED),
            robot.create_subscription(Image, "mask", seen["mask"].append, LATCHED),
        ]
        robot.until(lambda: all(seen.values()), 3)
        robot.spin(0.3)
        for subscription in subscriptions:
            robot.destroy_subscription(subscription)
        return seen

    seen = latched()
    assert [result.query_id for result in seen["result"]] == [last.query_id]
    assert [mask.header for mask in seen["mask"]] == [last.header]
    assert robot.transition("deactivate") and robot.transition("cleanup")
    assert latched() == {"result": [], "mask": []}
    assert robot.transition("configure") and robot.transition("activate")
    robot.until_active(process.process)


def test_a_camera_that_starts_late_is_waited_for(manual):
    _, robot = manual
    robot.stop_stream()
    assert robot.transition("deactivate") and robot.transition("activate")
    assert robot.until(lambda: robot.images.get_subscription_count() > 0)
    robot.say("red early bird")
    robot.spin(0.5)
    assert not robot.results_of("red early bird")
    robot.stream()
    assert robot.until(lambda: robot.results_of("red early bird"))
    assert robot.results_of("red early bird")[0].status == Result.OK
    robot.stop_stream()


def test_no_camera_and_a_camera_that_stopped_are_told_apart(manual):
    _, robot = manual
    assert robot.transition("deactivate") and robot.transition("activate")
    assert robot.set(image_timeout=0.5, max_image_age=0.5) == [(True, ""), (True, "")]
    none = robot.ask("red of nothing")
    assert none.status == Result.NO_IMAGE and "camera running" in none.message
    assert robot.until(lambda: robot.images.get_subscription_count() > 0)
    robot.ask_about(robot.show(), "red of now")
    robot.spin(1.0)
    old = robot.ask("red of the past")
    assert old.status == Result.NO_IMAGE and "max_image_age" in old.message and not old.targets
    robot.set(image_timeout=2.0, max_image_age=2.0)


def test_a_broken_checkpoint_fails_to_configure_and_can_be_put_right(start):
    process, robot = start(active=False, model="broken")
    assert robot.until(lambda: "cannot load the model" in process.log, 30)
    assert "no file model.safetensors" in process.log
    assert robot.state() == "unconfigured"
    assert robot.transition("configure") is False and robot.state() == "unconfigured"
    assert robot.set(model="explode") == [(True, "")]
    assert robot.transition("configure") is False
    assert "a loader's own bug" in process.log and "Traceback" in process.log
    assert robot.set(model="fine") == [(True, "")]
    assert robot.transition("configure") and robot.transition("activate")
    robot.until_active(process.process)
    robot.stream()
    assert robot.ask("red at last").status == Result.OK
    robot.say("sleep 20 goodbye")
    robot.spin(0.5)
    assert process.stop(signal.SIGINT) == 0
    assert robot.until(lambda: robot.results_of("sleep 20 goodbye"))
    assert robot.results_of("sleep 20 goodbye")[0].status == Result.CANCELLED
    assert "Traceback" not in process.log.split("fine")[-1]


def test_the_node_answers_while_it_loads_and_ends_while_it_loads(start):
    process, robot = start(active=False, model="'load=30'")
    assert robot.get("model") == "load=30" and robot.state() == "unconfigured"
    assert robot.ask("red while loading").status == Result.REJECTED
    assert process.stop(signal.SIGTERM, timeout=5) == 0  # launch's patience


def test_no_goal_is_taken_that_the_end_leaves_without_a_result(start):
    process, robot = start()
    robot.stream(rate=30)
    results = []

    def send():
        def wait_for_result(sent):
            if sent.result().accepted:
                results.append(sent.result().get_result_async())

        robot.action.send_goal_async(Segment.Goal(query="sleep 9 and red")).add_done_callback(wait_for_result)

    send()
    assert robot.until(lambda: results)
    process.process.send_signal(signal.SIGTERM)
    while process.process.poll() is None:
        send()
        robot.spin(0.02)
    robot.stop_stream()
    assert robot.until(lambda: all(result.done() for result in results), 1.0)


def test_the_node_answers_while_a_configure_by_hand_loads(start):
    process, robot = start(active=False, autostart=False, model="'load=4'")
    assert robot.state() == "unconfigured"
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    client = robot.create_client(ChangeState, "perception/change_state")
    assert robot.until(client.service_is_ready, 20)
    configured = client.call_async(request)
    assert robot.until(lambda: "loading 'load=4'" in process.log, 20)
    assert robot.set(queue_size=3) == [(True, "")]
    assert robot.ask("red while it loads").status == Result.REJECTED
    assert not configured.done()
    assert robot.wait(configured, 30).success and robot.state() == "inactive"
    assert robot.transition("activate")
    assert robot.transition("deactivate") and robot.transition("cleanup")
    client.call_async(request)
    assert robot.until(lambda: process.log.count("loading 'load=4'") == 2, 20)
    assert process.stop(signal.SIGTERM) == 0


def test_a_configure_by_hand_takes_over_from_autostart(start):
    process, robot = start(active=False, model="'load=4'")
    assert robot.until(lambda: "loading 'load=4'" in process.log, 20)
    assert robot.transition("configure") and robot.state() == "inactive"
    assert process.log.count("loading 'load=4'") == 1
    assert robot.transition("activate")
    robot.until_active(process.process)


def test_nothing_outlives_a_node_that_is_killed(start):
    process, robot = start()
    threads = Path(f"/proc/{process.process.pid}/task").iterdir()
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    assert children, "clouds are made in a process of their own"
    robot.say("sleep 20 red")
    robot.spin(0.3)
    process.stop(signal.SIGKILL)
    assert robot.until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10)


@pytest.mark.parametrize("parameters", [{"precision": "fp8"}, {"queue_size": -1}, {"camera_pose": "[1.0]"}])
def test_bad_parameters_at_start_end_the_node_with_a_reason(start, parameters):
    process, _ = start(active=False, **parameters)
    assert process.process.wait(30) == 2
    assert next(iter(parameters)) in process.log and "Traceback" not in process.log


BROKEN = {"syntax": "/**: [", "no section": "queue_size: 3", "not text": b"\xff\xfe\0"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_parameter_file_that_cannot_be_read_ends_the_node_with_a_reason(start_python, tmp_path, name):
    path = tmp_path / "broken.yaml"
    content = BROKEN[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    process = start_python("lisa_ros.nodes.perception", "--ros-args", "--params-file", path)
    assert process.wait(60) == 2
    assert "broken.yaml" in process.lines[-1] and "Traceback" not in process.output, process.output


def test_a_parameter_that_does_not_exist_is_named_at_start(start):
    process, robot = start(active=False, autostart=False, max_new_token=3, cloud__max_rang=2.0, seed=1)
    assert robot.get("max_new_tokens") == 512
    for words in ("'max_new_token': its value is ignored; did you mean max_new_tokens?", "cloud.max_range?", "'seed'"):
        assert words in process.log
    assert process.log.count("its value is ignored") == 3


def test_time_that_jumps_back_drops_images_and_open_queries(start):
    process, robot = start(active=False, use_sim_time=True)
    clock = robot.create_publisher(Clock, "/clock", 10)

    def set_time(seconds):
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(seconds), int(seconds % 1 * SECOND)
        clock.publish(message)

    def red_at(seconds):
        """A result about an image of that time; the first ones get lost before everybody has found everybody."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            set_time(seconds)
            robot.show(stamp=round(seconds * SECOND))
            robot.spin(0.1)
            if clock.get_subscription_count() and robot.images.get_subscription_count():
                result = robot.ask(f"red at {seconds}")
                if result.status == Result.OK:
                    return result
                robot.results.clear()
        raise AssertionError(f"no image came through:\n{process.log}")

    fine = red_at(100.5)
    assert fine.header.stamp.sec == 100 and fine.image_age.sec == 0
    goal = robot.send("sleep 20 red")
    robot.spin(0.5)
    set_time(50)
    response = robot.wait(goal.get_result_async())
    assert response.result.result.status == Result.CANCELLED and "time jumped" in response.result.result.message
    assert robot.ask("red after the jump").status == Result.NO_IMAGE, "images of the future are gone"
    assert red_at(50).header.stamp.sec == 50
    assert process.log.count("time jumped") >= 1


def test_compressed_streams_are_remapped_as_their_base_topic(start):
    _, robot = start(active=False, image_transport="compressed", depth_transport="compressedDepth")
    sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = robot.create_publisher(CompressedImage, "image/compressed", sensor)
    depths = robot.create_publisher(CompressedImage, "depth/compressedDepth", sensor)
    assert robot.until(lambda: images.get_subscription_count() > 0 and depths.get_subscription_count() > 0, 30)
    assert robot.until(lambda: robot.infos.get_subscription_count() > 0)

    def show():
        stamp = robot.show(with_depth=False)  # nobody hears the raw image; camera_info is the same
        jpeg = cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
        levels = cv2.imencode(".png", np.full((120, 160), 800, np.uint16))[1].tobytes()
        for publisher, name, data in (
            (images, "rgb8; jpeg compressed bgr8", jpeg),
            (depths, "16UC1; compressedDepth png", bytes(12) + levels),
        ):
            message = CompressedImage(format=name, data=data)
            message.header.frame_id = "camera"
            message.header.stamp.sec, message.header.stamp.nanosec = stamp // SECOND, stamp % SECOND
            publisher.publish(message)

    for attempt in range(20):
        show()
        result = robot.ask(f"red through the wire {attempt}")
        if result.status != Result.NO_IMAGE:
            break
    assert result.status == Result.OK, result.message
    assert abs(result.targets[0].area - 1600) < 100
    assert result.targets[0].box.pose.position.z == pytest.approx(0.8, abs=0.01)


def test_a_silent_camera_and_a_qos_mismatch_are_diagnosed(start):
    process, robot = start()
    robot.spin(3.5)
    values = robot.diagnostics()
    assert "FASTDDS_DEFAULT_PROFILES_FILE" in values["message"] and values["level"] == b"\x01"
    robot.stream()
    assert robot.until(lambda: robot.diagnostics()["message"] == "ok", 10)
    unreliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = robot.create_publisher(String, "query", unreliable)
    assert robot.until(lambda: "incompatible QoS" in robot.diagnostics()["message"], 10)
    topic = robot.resolve_topic_name("query")
    assert robot.diagnostics()[f"QoS mismatch {topic}"] == "RELIABILITY"
    assert f"{topic}: a publisher offers a QoS that does not fit" in process.log
    robot.destroy_publisher(publisher)
    assert robot.until(lambda: robot.diagnostics()["message"] == "ok", 10)
