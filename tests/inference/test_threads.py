"""torch's threads on the CPU: they sleep while they wait, their number is a parameter, and what is too late is said."""

import os
import subprocess
import sys

import pytest
import torch

from lisa_ros import cpu_threads
from lisa_ros.cpu_threads import WAIT_POLICY, environment, set_threads
from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.perception.parameters import PerceptionParameters

pytestmark = pytest.mark.unit

# Prints the CPU time, in ms, that two threads burn in 30 ms of sleep after their work is done.
BURNT = """
import os, time, torch
a = torch.ones(512, 512)
worst = []
for _ in range(20):
    a @ a
    started = time.process_time()
    time.sleep(0.03)
    worst.append(time.process_time() - started)
print(os.environ.get("OMP_WAIT_POLICY"), 1000 * sorted(worst)[10])
"""


def run(program: str, **variables) -> subprocess.CompletedProcess:
    """Runs a program in a process that knows two threads and no policy but those of `variables`."""
    inherited = {name: value for name, value in os.environ.items() if name != WAIT_POLICY}
    return subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True,
                          env={**inherited, "OMP_NUM_THREADS": "2", **variables}, timeout=100)  # fmt: skip


@pytest.fixture
def own_number():
    """torch's number of threads, which the test leaves behind."""
    number = torch.get_num_threads()
    yield number
    set_threads(0)
    torch.set_num_threads(number)


@pytest.mark.alone
def test_threads_of_the_engine_sleep_when_their_work_is_done():
    policy, burnt = run("import lisa_ros.inference" + BURNT).stdout.split()
    assert policy == "PASSIVE"
    assert float(burnt) < 0.5, "a thread that spins burns 3 ms and more"


def test_the_users_own_policy_wins(monkeypatch):
    program = "import os, lisa_ros.inference; print(os.environ['OMP_WAIT_POLICY'])"
    assert run(program, OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE\n"
    monkeypatch.setenv(WAIT_POLICY, "ACTIVE")
    assert environment() == {}
    monkeypatch.delenv(WAIT_POLICY)
    assert environment() == {WAIT_POLICY: "PASSIVE"}


@pytest.mark.parametrize(
    ("imports", "variables", "warned"),
    [
        ("torch, lisa_ros.inference", {}, True),
        ("lisa_ros.inference, torch", {}, False),
        ("torch, lisa_ros.inference", {WAIT_POLICY: "PASSIVE"}, False),
    ],
)
def test_only_what_is_too_late_is_warned_of(imports, variables, warned):
    check = "from lisa_ros.cpu_threads import check_wait_policy; check_wait_policy()"
    errors = run(f"import {imports}; {check}", **variables).stderr
    assert ("torch was imported before lisa_ros" in errors) == warned, errors


def test_loading_a_model_warns_where_it_would_spin(load, own_number, monkeypatch):
    monkeypatch.setattr(cpu_threads, "_too_late", True)
    with pytest.warns(RuntimeWarning, match="OMP_WAIT_POLICY=PASSIVE"):
        load(threads=2)


def test_importing_the_package_leaves_the_environment_alone():
    """A launch file imports it: other nodes of the launch must not inherit what is ours."""
    modules = "lisa_ros.graph, lisa_ros.replay.arguments"
    assert run(f"import os, {modules}; print(os.environ.get('{WAIT_POLICY}'))").stdout == "None\n"


def test_the_number_is_set_and_given_back(own_number):
    for count in (3, 2):
        set_threads(count)
        assert torch.get_num_threads() == count
    set_threads(0)
    assert torch.get_num_threads() == own_number
    torch.set_num_threads(2)  # by the program itself, which 0 leaves alone
    set_threads(0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("count", [-1, 257, 1.5, "2", None])
def test_numbers_out_of_their_limits_are_refused(count):
    with pytest.raises(ConfigurationError, match=r"threads=.* from 0"):
        set_threads(count)


def test_the_nodes_parameter_and_the_engines_argument_set_it(own_number, load):
    from lisa_ros.nodes.perception.inference.model_manager import load_lisa

    load_lisa(PerceptionParameters(device="cpu", threads=2))
    assert torch.get_num_threads() == 2
    load(threads=1)
    assert torch.get_num_threads() == 1
    load()
    assert torch.get_num_threads() == own_number
