import os
import signal
import time

import numpy as np
import pytest

from lisa_ros.errors import InvalidImageError, NoDepthError, QueryCancelled
from lisa_ros.geometry import CameraModel, CloudOptions
from lisa_ros.nodes.cloud_process import CloudProcess
from lisa_ros.nodes.clouds import CloudJob, compute_clouds

pytestmark = pytest.mark.unit


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
        here, there = compute_clouds(job(masks=number)), process.compute(job(masks=number), never)
        assert len(there.reports) == number and len(there.targets.points) > 0
        np.testing.assert_array_equal(there.targets.points, here.targets.points)
    with pytest.raises(NoDepthError, match="no valid pixel"):
        process.compute(job(depth=0.0), never)
    assert process.compute(job(), never).reports[0].depth_coverage == 1.0


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


def test_a_cancelled_job_is_left_and_its_answer_is_not_taken_for_the_next_ones(process):
    process.compute(job(), never)
    with pytest.raises(QueryCancelled):
        os.kill(process._child.pid, signal.SIGSTOP)
        process.compute(job(depth=0.0), lambda: True)
    os.kill(process._child.pid, signal.SIGCONT)
    assert process.compute(job(), never).reports[0] is not None


def test_a_process_that_died_is_replaced(process):
    process.compute(job(), never)
    process._child.kill()
    with pytest.raises(NoDepthError, match="has ended"):
        process.compute(job(), never)
    assert process.compute(job(), never).reports[0] is not None


def test_an_idle_process_ends_with_its_pipe(process):
    process.compute(job(), never)
    process._pipe.close()
    end = time.monotonic() + 20
    while process._child.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert process._child.returncode == 0
