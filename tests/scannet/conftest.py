"""The golden scan, and small scans that the project's own writer makes."""

import json

import numpy as np
import pytest

from lisa_ros.scannet.sens import SensHeader


@pytest.fixture(scope="session")
def scan(golden):
    """Directory of the golden scan; its expected.json lies one above."""
    return golden / "scannet" / "scene0000_00"


@pytest.fixture(scope="session")
def sens(scan):
    """The golden `.sens` file."""
    return scan / "scene0000_00.sens"


@pytest.fixture(scope="session")
def expected(scan):
    """What a right reader returns for the golden scan."""
    return json.loads((scan.parent / "expected.json").read_text())


@pytest.fixture
def header():
    """small_header(**changes): a calibrated camera of 12x10 colour and 6x4 depth pixels."""

    def small_header(**changes):
        values = {
            "color_intrinsic": _intrinsic(10.0, 11.0, 5.5, 4.5),
            "depth_intrinsic": _intrinsic(5.0, 5.5, 2.5, 1.5),
            "color_size": (12, 10),
            "depth_size": (6, 4),
        }
        return SensHeader(**(values | changes))

    return small_header


def _intrinsic(fx, fy, cx, cy):
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = fx, fy, cx, cy
    return matrix
