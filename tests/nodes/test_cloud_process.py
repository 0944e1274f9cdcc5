import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lisa_ros.errors import InvalidImageError, NoDepthError, QueryCancelled
from lisa_ros.geometry import CameraModel, CloudOptions
from lisa_ros.nodes.perception.clouds import cloud_process
from lisa_ros.nodes.perception.clouds.cloud_job import CloudJob, compute_clouds
from lisa_ros.nodes.perception.clouds.cloud_process import CloudProcess

pytestmark = pytest.mark.unit
PATIENCE = 60.0  # s


def job(depth=1.0, masks=1, options=None):
    image = np.full((60, 80, 3), 90, np.uint8)
    all_masks = np.zeros((masks, 60, 80), bool)
    for number in range(masks):
        all_masks[number, 10:50, 10 + 25 * number : 30 + 25 * number] = True
    camera = CameraModel(80, 60, 80.0, 80.0, 40.0, 30.0)
    depth = np.full((60, 80), depth, np.float32)
    names = tuple(f"target {number}" for number in range(masks))
    return CloudJob(names, tuple(all_masks), depth, image, camera, options or CloudOptions(), None)


@pytest.fixture
def process():
    process = CloudProcess()
    yield process
    process.stop()


def never():
    return False


def test_it_computes_what_the_function_computes_and_says_what_it_says(process):
    for number in (1, 2):
        here, there = compute_clouds(job(masks=number)), process.compute(job(masks=number), never, PATIENCE)
        assert len(there.reports) == number and len(there.targets.points) > 0
        np.testing.assert_array_equal(there.targets.points, here.targets.points)
    with pytest.raises(NoDepthError, match="no valid pixel"):
        process.compute(job(depth=0.0), never, PATIENCE)
    assert process.compute(job(), never, PATIENCE).reports[0].depth_coverage == 1.0


def test_two_targets_of_which_one_has_depth():
    both = job(masks=2)
    depth = both.depth.copy()
    depth[:, :35] = 0
    clouds = compute_clouds(CloudJob(both.names, both.masks, depth, both.image, both.camera, both.options, None))
    assert clouds.reports[0] is None and clouds.reports[1] is not None
    assert len(clouds.notes) == 1 and clouds.notes[0].startswith("target 0: ")


def test_sizes_that_do_not_belong_together_are_no_depth():
    odd = job()
    with pytest.raises(NoDepthError, match="camera model") as error:
        compute_clouds(
            CloudJob(
                odd.names, odd.masks, odd.depth, odd.image, CameraModel(8, 6, 8.0, 8.0, 4.0, 3.0), odd.options, None
            )
        )
    assert isinstance(error.value.__cause__, InvalidImageError)


def large_job(masks=1):
    """Its answer, a point for each pixel, is far larger than what a pipe holds."""
    image = np.full((720, 1280, 3), 90, np.uint8)
    mask = np.zeros((720, 1280), bool)
    mask[100:600, 200:1000] = True
    depth = np.full((720, 1280), 1.0, np.float32)
    camera = CameraModel(1280, 720, 900.0, 900.0, 640.0, 360.0)
    options = CloudOptions(voxel_size=0.0, scene_voxel_size=0.0, outlier_neighbours=0)
    return CloudJob(("wall",) * masks, (mask,) * masks, depth, image, camera, options, None)


def after(calls):
    """cancelled() that says so from a number of calls on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_a_cancelled_job_is_left_and_its_answer_is_not_taken_for_the_next_ones(process):
    process.compute(job(), never, PATIENCE)
    with pytest.raises(QueryCancelled):
        os.kill(process.pid, signal.SIGSTOP)
        process.compute(job(depth=0.0), lambda: True, PATIENCE)
    os.kill(process.pid, signal.SIGCONT)
    assert process.compute(job(), never, PATIENCE).reports[0] is not None


@pytest.mark.timeout(240)
def test_cancelled_jobs_with_answers_larger_than_a_pipe_holds_up_nobody(process):
    for _ in range(5):
        for calls in (0, 1, 3):  # before the child has the job, and while it works
            with pytest.raises(QueryCancelled):
                process.compute(large_job(), after(calls), PATIENCE)
        assert process.compute(job(), never, PATIENCE).reports[0] is not None


def test_a_process_that_hangs_is_replaced_and_says_that_it_was_the_cloud(process):
    process.compute(job(), never, PATIENCE)
    hung = process.pid
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(NoDepthError, match="cloud_timeout"):
        process.compute(job(), never, 0.5)
    assert process.pid != hung
    assert process.compute(job(), never, PATIENCE).reports[0] is not None


def test_a_job_behind_a_cancelled_one_that_hangs_gets_its_cloud_from_a_new_process(process):
    process.compute(job(), never, PATIENCE)
    hung = process.pid
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(QueryCancelled):
        process.compute(job(), after(3), PATIENCE)
    assert process.compute(job(), never, 2.0).reports[0] is not None
    assert process.pid != hung


def test_a_process_that_died_idle_is_replaced_before_anybody_notices(process):
    process.compute(job(), never, PATIENCE)
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert process.compute(job(), never, PATIENCE).reports[0] is not None


def test_a_process_that_dies_over_a_job_says_so_and_is_replaced(process):
    process.compute(job(), never, PATIENCE)
    os.kill(process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.5, os.kill, (process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(NoDepthError, match="has ended"):
        process.compute(job(), never, PATIENCE)
    assert process.compute(job(), never, PATIENCE).reports[0] is not None


@pytest.mark.parametrize("poll", [0.05, 30.0], ids=["it is noticed by a look", "the end is noticed first"])
def test_stopping_ends_a_job_in_another_thread(process, monkeypatch, poll):
    process.compute(job(), never, PATIENCE)
    monkeypatch.setattr(cloud_process, "_POLL", poll)
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(0.5, process.stop).start()
    with pytest.raises(QueryCancelled):
        process.compute(job(), never, PATIENCE)
    with pytest.raises(QueryCancelled):
        process.compute(job(), never, PATIENCE)


@pytest.mark.parametrize("busy", [False, True])
def test_the_process_ends_with_its_parent(busy, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from lisa_ros.nodes.perception.clouds.cloud_process import CloudProcess\n"
        "process = CloudProcess(); process.start(); print(process.pid, flush=True); sys.stdin.read(); os._exit(0)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    if not busy:
        parent.communicate("")
    parent.kill()
    parent.wait()
    end = time.monotonic() + PATIENCE
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
