"""A node of your own that asks without blocking: its service `find` answers when the perception node has.

    python3 ask_from_your_node.py --ros-args -p query:="the red mug"
    ros2 service call /finder/find std_srvs/srv/Trigger

One thread is enough: `await` gives the executor back while the perception node works, so the timer goes on.
"""

import sys

import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_srvs.srv import Trigger

from lisa_ros.client import PerceptionClient, QueryFeedback
from lisa_ros.errors import NoResultError


class Finder(Node):
    """Parameters: `perception`, the namespace of the perception node; `query`; `timeout` in s."""

    def __init__(self):
        super().__init__("finder")
        self.declare_parameter("perception", "/lisa")
        self.declare_parameter("query", "the mug")
        self.declare_parameter("timeout", 60.0)
        self.lisa = PerceptionClient(self.get_parameter("perception").value, node=self)
        self.beats = 0
        self.create_timer(0.1, self.beat)
        # A callback that awaits holds its group: in the node's default group it would hold up the timer.
        self.create_service(Trigger, "~/find", self.find, callback_group=ReentrantCallbackGroup())

    def beat(self):
        """What the node does all the time."""
        self.beats += 1

    async def find(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Asks, and answers with what was found."""
        before = self.beats
        try:
            result = await self.lisa.ask_async(
                self.get_parameter("query").value,
                timeout=self.get_parameter("timeout").value,
                on_feedback=self.log,
            )
        except NoResultError as error:
            response.message = f"{type(error).__name__}: {error}"
            return response
        found = ", ".join(target.phrase for target in result.targets if target.mask.any())
        response.success = result.status.has_masks
        response.message = f"{result.status.name}: {result.answer} [{found}] {result.message}".strip()
        self.get_logger().info(f"{response.message} ({self.beats - before} beats meanwhile)")
        return response

    def log(self, feedback: QueryFeedback):
        """Each step of the perception node."""
        self.get_logger().info(f"{feedback.stage.name.lower()} {feedback.text}".strip())


def main() -> int:
    """Runs until Ctrl-C."""
    rclpy.init()
    finder = Finder()
    try:
        rclpy.spin(finder)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        finder.lisa.close()
        finder.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
