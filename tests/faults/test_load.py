"""The short form of benchmarks/load.py: clients and cameras, one result for each query, and a bounded queue."""

import json
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]
LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"


def test_many_clients_get_one_result_for_each_query_and_a_burst_is_cut_off(start_process, tmp_path):
    path = tmp_path / "load.json"
    options = [
        "--clients",
        "3",
        "--cameras",
        "2",
        "--rate",
        "5",
        "--size",
        "160x120",
        "--seconds",
        "4",
        "--burst",
        "24",
    ]
    start_process([sys.executable, LOAD, *options, "--json", path]).wait(560)
    figures = json.loads(path.read_text())
    # How evenly so few queries are spread is a matter of how the clients start.
    assert [fault for fault in figures["faults of the node"] if not fault.startswith("unfair")] == []
    assert len(figures["answered by client"]) == 3 and min(figures["answered by client"]) > 0
    assert figures["burst"]["answered"] >= figures["burst"]["queue_size"]
