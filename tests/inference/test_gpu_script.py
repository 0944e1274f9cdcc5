"""benchmarks/gpu.sh: its steps, what it leaves out and says so, and its table; the measurements are made up here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
RUN = {
    "size": "tiny", "device": "CPU", "precision": "bf16", "tokens": 30, "prompt_tokens": 350, "compiled": True,
    "ratios": {"llm_30": {"median": 15.0}, "query_30": {"median": 9.0}},
    "stages": {name: {"min": 0.02} for name in ("token", "SAM encoder", "mask-only query")},
    "floors": {"token": {"seconds": 0.018}, "rates": {"flops": 7e13, "bytes": 468e9}},
    "memory": {"here": {"weights": 15e9, "peak": 17e9}},
}  # fmt: skip
LOADING = [{"precision": "int4", "peak": 1e9, "stays": 0, "largest_shard": 4e9}]
# In place of the interpreter: writes what a step would have measured, and fails for the formats in FAILS.
STUB = """#!{python}
import json, os, sys
words = sys.argv[1:]
print(*words)
if words[0].endswith("gpu_table.py"):
    os.execv({python!r}, [{python!r}, *words])
if any(word in os.environ["FAILS"].split() for word in words):
    sys.exit("no memory")
if "--json" in words:
    found = {loading!r} if "loading_memory" in words[0] else {run!r}
    json.dump(found, open(words[words.index("--json") + 1], "w"))
"""


def run(folder, fails="", limit="590"):
    """The table that the script prints, and where everything is."""
    stub = folder / "python"
    stub.write_text(STUB.format(python=sys.executable, loading=LOADING, run=RUN))
    stub.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(stub), "FAILS": fails, "LIMIT": limit}
    words = [ROOT / "benchmarks" / "gpu.sh", "--cpu", folder / "out"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    return done, folder / "out"


def test_every_step_is_in_the_table(tmp_path):
    done, out = run(tmp_path)
    assert done.returncode == 0, done.stderr
    table = (out / "table.md").read_text()
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert rows[2:8] == ["bf16", "bf16_plain_steps", "int4", "int8", "nf4", "large_int4"]
    assert "left out" not in table and "| int4 | 1.00 | 0.00 | 4.00 |" in table
    assert "| bf16 | tiny | yes | 20.0 | 50 | 90% | 20 | 20 | 15.0x | 9.0x | 15.0 | 17.0 |" in table
    assert "| bf16, a token: share of the floor | >= 85% | 90% | yes |" in table
    assert "| answer of 30 tokens, official / ours | >= 10 | 9.0 | no |" in table
    assert "| int4 | >= 85 tokens/s | 50 | no |" in table  # half of an RTX 3090's memory, half of its goal
    assert {path.stem for path in out.glob("*.log")} == {"tests", "loading", *rows[2:8]}
    assert json.loads((out / "bf16.json").read_text()) == RUN


def test_steps_that_fail_are_named_and_the_rest_goes_on(tmp_path):
    done, out = run(tmp_path, fails="nf4")  # loading_memory.py is asked about it too
    assert done.returncode == 0, done.stderr
    table = (out / "table.md").read_text()
    assert "| nf4" not in table and "| large_int4" in table
    assert "`nf4`: left out, it failed" in table and "`loading`: left out, it failed" in table


def test_without_time_nothing_is_measured(tmp_path):
    done, _ = run(tmp_path, limit="10")
    assert done.returncode == 1 and "has no figures" in done.stderr and "bf16: left out, no time" in done.stdout


def test_without_a_gpu_it_says_so(tmp_path):
    words = [ROOT / "benchmarks" / "gpu.sh", tmp_path / "out"]
    done = subprocess.run(words, env={**os.environ, "PYTHON": "/bin/false"}, capture_output=True, text=True)
    assert done.returncode == 2 and "torch sees no GPU" in done.stderr
