"""Runs a node in its process: arguments, signals, and an end at which the last results still go out."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

import cv2
import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from lisa_ros.errors import ConfigurationError
from lisa_ros.graph import PARENT
from lisa_ros.writable_folders import ensure_ros_log

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_LAST_RESULTS = 0.3  # s for results of goals, which the executor sends


def run_node(create: Callable, args=None) -> int:
    """Spins the node that create() makes until SIGINT or SIGTERM, then lets its last results go out.

    At the end it calls stop_accepting(), spins some more, and calls shutdown(), which returns whether all threads have
    ended. Returns the exit status: 0, or 2 for bad ROS arguments or parameters.
    """
    # More threads do not speed up operations on one image, and on a busy computer they wait for each other.
    cv2.setNumThreads(1)
    log_note = ensure_ros_log()
    try:
        # rclpy's own handlers end the context at once, and then the last results could not be published.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # a parameter file, name or log level that ROS cannot read, a log it cannot write
        rclpy.logging.get_logger("lisa_ros").fatal(f"ROS does not start: {' '.join(str(error).split())}")
        return 2
    if log_note:
        rclpy.logging.get_logger("lisa_ros").warning(log_note)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    _end_with(os.environ.pop(PARENT, ""))
    try:
        node = create()
    except (ConfigurationError, InvalidParameterTypeException, InvalidParameterValueException) as error:
        rclpy.logging.get_logger("lisa_ros").fatal(f"bad parameter: {error}")
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    _spin(executor, node, lambda: bool(stopped))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C and launch may both send one
    node.stop_accepting()
    end = time.monotonic() + _LAST_RESULTS
    _spin(executor, node, lambda: time.monotonic() > end)
    ended = node.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    if not ended:
        # Python would tear down under a thread that is inside the model's native code, and crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _end_with(parent: str):
    """Has the kernel send SIGTERM when this process dies, even by SIGKILL: nothing else would end the node."""
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before the call
            os.kill(os.getpid(), signal.SIGTERM)


def _spin(executor: SingleThreadedExecutor, node, done: Callable[[], bool]):
    while rclpy.ok() and not done():
        try:
            executor.spin_once(timeout_sec=0.1)  # Python handles signals between two of these
        except ExternalShutdownException:
            break
        except Exception:  # noqa: BLE001 - one bad callback must not end a robot's node
            node.get_logger().error(f"unexpected error in a callback; the node continues\n{traceback.format_exc()}")
