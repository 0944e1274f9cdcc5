"""`lisa-ros play`: a bag on real topics in real time, where there is no `ros2 bag play`."""

import argparse
import os
from dataclasses import fields
from pathlib import Path

from lisa_ros import graph
from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.middleware import check_middleware
from lisa_ros.recordings.topics import TOPIC_WORDS, RgbdTopics
from lisa_ros.sensor_messages.depth_registration import REFUSE, RULES


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros play`."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="RGB-D bag: its folder, or its .mcap or .db3 file")
    parser.add_argument("--rate", type=float, default=1.0, metavar="R", help="speed (default: %(default)s)")
    parser.add_argument("--no-clock", action="store_true", help="do not publish /clock")
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="S",
        help="seconds to wait for somebody who listens to the images; 0: begin at once (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--depth-registration", choices=RULES,
        help="depth of another frame or lens than the image's: refuse: ends with an error; register: is played in the "
        "image's view, with its own camera_info and the bag's transforms; trust: is played as the image's, whatever "
        "frames depth and camera_info name (default: is played as it lies in the bag, which is told)",
    )  # fmt: skip
    group = parser.add_argument_group("topics of the bag, where they are not those that lisa-ros writes")
    for field in fields(RgbdTopics):
        word = f"{field.name}_topic"
        group.add_argument(
            "--" + word.replace("_", "-"), metavar="TOPIC", help=f"{TOPIC_WORDS[word]} (default: {field.default})"
        )


def run(args: argparse.Namespace) -> int:
    """Plays. Exit status 1 where nobody listened in time, and where no depth image could be registered."""
    check_middleware()
    os.environ.update(graph.environment())  # before the middleware is loaded: large images need its shared memory
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from lisa_ros.nodes.simulation.bag_player import BagPlayer, check_rate
    except ImportError as error:
        raise ConfigurationError(f"playing needs ROS 2: {error}; see docs/installation.md") from error
    from lisa_ros.private_graph import signals_as_interrupt
    from lisa_ros.recordings.bag_reader import RgbdBag
    from lisa_ros.writable_folders import ensure_ros_log

    check_rate(args.rate)  # before anybody is waited for
    # SIGTERM ends it as well, and so does Ctrl-C in a background job, which begins with SIGINT ignored.
    rule = args.depth_registration
    topics = RgbdTopics.named(vars(args))
    with signals_as_interrupt(), RgbdBag(args.bag, topics, depth_registration=rule or REFUSE) as bag:
        if rule in (None, REFUSE) and (differs := bag.depth_difference()):
            _tell_difference(args.bag, differs, rule)
        if note := ensure_ros_log():
            print(note, flush=True)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # signals are ours
        try:
            node = rclpy.create_node("player")
            player = BagPlayer(node, bag)
            if args.wait > 0 and not player.wait_for_subscriber(args.wait):
                print(f"nobody listens to the images of {args.bag}")
                return 1
            print(f"playing {len(bag)} frames of {args.bag} on {', '.join(player.topics)}", flush=True)
            report = player.play(args.rate, clock=not args.no_clock)
        finally:
            rclpy.try_shutdown()
    print(
        f"{report.frames} frames in {report.seconds:.1f} s, the latest message {report.worst_delay * 1000:.0f} ms late"
    )
    if report.left_out:
        print(f"{report.left_out} depth images were left out: {report.reason}")
    return 1 if report.left_out and not report.depth else 0


def _tell_difference(bag: Path, differs: str, rule: str | None) -> None:
    """Raises RecordingError where the rule refuses such depth."""
    problem = f"{bag}: depth is not registered to the image: {differs}"
    if rule == REFUSE:
        raise RecordingError(
            f"{problem}: --depth-registration register brings it there, trust takes it for registered where only the "
            "driver's names differ"
        )
    print(f"{problem}; it is played as it is (see --depth-registration)", flush=True)
