"""The demo on its first scene and its last, with the oracle in the model's place.

Arguments: folder, the oracle's manner.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from lisa_ros import graph
from lisa_ros.demo.questions import choose_scenes
from lisa_ros.demo.run import run_demo
from lisa_ros.errors import LisaError

if __name__ == "__main__":
    folder, manner = Path(sys.argv[1]), sys.argv[2]
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    perception, camera = graph.processes({"camera": "simulator"})
    first, *_, last = choose_scenes()
    processes = [replace(perception, module="oracle_perception"), camera]
    try:
        _, content = run_demo(folder, {"model": manner}, lambda line: print(line, flush=True), processes, [first, last])
    except LisaError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(0 if content["passed"] else 1)
