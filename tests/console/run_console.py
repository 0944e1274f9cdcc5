"""The console's node in a process of its own."""

import sys

from lisa_ros.nodes.console.node import main

if __name__ == "__main__":
    sys.exit(main())
