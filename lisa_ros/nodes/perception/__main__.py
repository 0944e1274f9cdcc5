"""`python -m lisa_ros.nodes.perception`: the same node as `ros2 run lisa_ros perception_node`."""

import sys

from lisa_ros.nodes.perception.node import main

sys.exit(main())
