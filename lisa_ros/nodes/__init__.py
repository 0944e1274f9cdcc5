"""ROS 2 nodes: wiring only. Whoever imports them may import rclpy after them."""

from lisa_ros.errors import ConfigurationError
from lisa_ros.middleware import check_middleware

try:
    check_middleware()  # now: with a middleware that is not there, `import rclpy` can end the process without a word
except ConfigurationError as error:
    raise SystemExit(f"lisa_ros: {error}") from None
