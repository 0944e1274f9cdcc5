"""The real perception node with the truth in the model's place; see `lisa_ros.replay.truth_engine`."""

import sys

from lisa_ros.nodes.perception.node import main
from lisa_ros.replay.truth_engine import TruthEngine

if __name__ == "__main__":
    sys.exit(main(engine_factory=TruthEngine))
