"""The short form of benchmarks/soak.py: random faults around the real node, and at its end it still answers."""

import json
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]
SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_a_node_among_faults_answers_every_query_once_and_still_answers_at_the_end(start_process, tmp_path):
    figures = tmp_path / "soak.json"
    command = [sys.executable, SOAK, "--seconds", "15", "--seed", "4", "--json", figures]
    status = start_process(command).wait(360)
    written = json.loads(figures.read_text())
    assert status == 0, written["faults of the node"]
    assert written["queries"] > 5 and written["faults"]
