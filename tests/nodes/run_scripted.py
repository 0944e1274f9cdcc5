"""The real node in a process of its own, with the scripted engine in the model's place."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from scripted_engine import ScriptedEngine

from lisa_ros.nodes.perception.node import main

if __name__ == "__main__":
    sys.exit(main(engine_factory=ScriptedEngine))
