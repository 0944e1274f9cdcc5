"""The node as it is started on a robot, with the engine that its parameters name."""

import sys

from lisa_ros.nodes.perception.node import main

if __name__ == "__main__":
    sys.exit(main())
