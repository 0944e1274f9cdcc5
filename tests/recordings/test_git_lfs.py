"""Files that Git LFS did not download: every reader names them and the remedy."""

import shutil

import pytest

from lisa_ros.datasets.files import read_json, read_plain_pickle
from lisa_ros.datasets.semantic import read_labels
from lisa_ros.errors import DatasetError, InvalidImageError, RecordingError
from lisa_ros.images import read_image
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.image_archive import ImageArchive
from lisa_ros.scannet.scene_files import SceneFiles
from lisa_ros.scannet.sens import SensReader

pytestmark = pytest.mark.unit

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def _archive(path):
    return ImageArchive(path, "uint8")


@pytest.mark.parametrize(("name", "read", "error"), [
    ("a.json", read_json, DatasetError), ("refs(unc).p", read_plain_pickle, DatasetError),
    ("a.png", read_labels, DatasetError), ("a.jpg", read_image, InvalidImageError),
    ("a.mcap", RgbdBag, RecordingError), ("a.db3", RgbdBag, RecordingError),
    ("scene0000_00.sens", SensReader, RecordingError), ("scene0000_00_2d-instance-filt.zip", _archive, RecordingError),
])  # fmt: skip
def test_a_pointer_is_told_with_its_remedy(tmp_path, name, read, error):
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(error, match=r"is a pointer of Git LFS.*git lfs pull"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["metadata.yaml", "bag_0.mcap"])
def test_a_pointer_in_a_bag_is_told(tmp_path, name):
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(RecordingError, match=r"is a pointer of Git LFS"):
        RgbdBag(tmp_path)


@pytest.mark.parametrize("name", ["scannetv2-labels.combined.tsv", "scene0000_00/scene0000_00.aggregation.json"])
def test_a_pointer_in_an_annotation_is_told(golden, tmp_path, name):
    shutil.copytree(golden / "scannet", tmp_path / "scannet")
    (tmp_path / "scannet" / name).write_text(POINTER)
    with pytest.raises(RecordingError, match=r"is a pointer of Git LFS"):
        Annotation(SceneFiles.find(tmp_path / "scannet" / "scene0000_00"))


def test_a_pointer_in_an_unpacked_archive_is_told(tmp_path):
    (tmp_path / "0.png").write_text(POINTER)
    with pytest.raises(RecordingError, match=r"0\.png is a pointer of Git LFS"):
        ImageArchive(tmp_path, "uint8").read(0)
