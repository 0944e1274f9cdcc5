"""`python -m lisa_ros.nodes.console`: the same node as `ros2 run lisa_ros console_node`."""

import sys

from lisa_ros.nodes.console.node import main

sys.exit(main())
