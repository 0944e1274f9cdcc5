"""The real perception node with the truth in the model's place; see `lisa_ros.evaluation.replay.truth_engine`."""

import sys

from lisa_ros.evaluation.replay.truth_engine import TruthEngine
from lisa_ros.nodes.perception.node import main

if __name__ == "__main__":
    sys.exit(main(engine_factory=TruthEngine))
