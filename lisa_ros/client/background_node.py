"""A node of the client's own, with a context, an executor and a thread that spins it."""

import threading
from uuid import uuid4

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


class BackgroundNode:
    """Spins from `start` until `stop`.

    Attributes:
        node: The node. Its name is one that no other node has.
    """

    def __init__(self):
        """Takes remappings and parameters from the program's arguments (`--ros-args`), as every node does."""
        self._context = Context()
        # Ctrl-C is the program's: it raises KeyboardInterrupt where the program waits.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(f"perception_client_{uuid4().hex[:8]}", context=self._context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._spin, name=self.node.get_name(), daemon=True)

    def start(self):
        """Spins from now on, in the thread.

        The node's action client has to be made before: rclpy adds it to the node half made, and an executor that looks
        at it then ends with an error.
        """
        self._thread.start()

    def stop(self):
        """Ends the thread; no callback runs from then on."""
        self._is_stopped = True
        self._executor.shutdown()
        if self._thread.is_alive():
            self._thread.join()

    def close(self):
        """Removes the node, after `stop`."""
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return  # rclpy was shut down: there is nothing left to receive
        except InvalidHandle:
            if not self._is_stopped:  # else `shutdown` took the executor's guard condition away in the middle of a turn
                raise
