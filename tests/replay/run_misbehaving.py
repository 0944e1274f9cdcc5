"""An evaluation of the misbehaving node. Arguments: bag, folder, words of the question, what it does then."""

import os
import sys
from pathlib import Path

from lisa_ros.evaluation.scans.scan import ScanPaths
from lisa_ros.replay.evaluate_recording import ReplayOptions, run_replay
from lisa_ros.replay.truth_engine import TruthEngine, write_paths


class Offline(TruthEngine):
    """Without ROS nothing fails."""

    def chat(self, frame, text, **_):
        return self.segment(frame, text)


if __name__ == "__main__":
    paths, out = ScanPaths(Path(sys.argv[1]), boundary=0), Path(sys.argv[2])
    os.environ.update(PYTHONPATH=str(Path(__file__).parent), FAILS_AT=sys.argv[3], FAILS_HOW=sys.argv[4])
    write_paths(out / "model.json", paths)
    options = ReplayOptions(
        paths, out, {"model": str(out / "model.json")}, timeout=3.0, node="misbehaving_perception", load=Offline
    )
    summary = run_replay(options, lambda line: print(line, flush=True))
    sys.exit(0 if summary["passed"] else 1)
