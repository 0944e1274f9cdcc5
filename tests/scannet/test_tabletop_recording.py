"""The simulated recording: its files agree with each other and with the simulator."""

import signal
import sys
import time

import numpy as np
import pytest

from lisa_ros.cli import main
from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.topics import STEP
from lisa_ros.replay import example
from lisa_ros.scannet import tabletop
from lisa_ros.scannet.annotations import Annotation
from lisa_ros.scannet.scene_queries import KINDS, read_queries
from lisa_ros.scannet.sens import SensReader
from lisa_ros.scannet.truth import frame_truth
from lisa_ros.simulator import frame_rng, noisy_depth, scene_at

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three small frames, the second one without a pose."""
    patch = pytest.MonkeyPatch()
    patch.setattr(tabletop, "HEIGHT", 96)
    patch.setattr(tabletop, "WIDTH", 128)
    patch.setattr(tabletop, "_LOST_EVERY", 2)
    yield tabletop.record_tabletop(tmp_path_factory.mktemp("recording"), index=2, frames=3, queries=24, ask_every=2)
    patch.undo()


def scene(frame):
    seed = TabletopDataset("heldout", 3).scene(2).seed
    return scene_at(seed, frame * STEP / 1e9, "camera", 96, 128)


def test_frames_are_the_simulators(recording):
    with SensReader(recording.files.sens) as reader, RgbdBag(recording.bag) as bag:
        assert reader.check() == 0
        for raw, frame in zip(reader, bag.frames(), strict=True):
            truth = scene(raw.index)
            assert np.abs(frame.color().astype(int) - truth.image).mean() < 3  # JPEG
            assert np.abs(frame.depth() - truth.depth).max() < 5.1e-4
            assert (frame.index, frame.stamp) == (raw.index, 1_000_000_000 + raw.index * STEP)
            assert (frame.pose is None) == (raw.index == 1)
            if frame.pose is not None:
                assert np.allclose(frame.pose, truth.camera_pose, atol=1e-6)
                assert np.allclose(frame.camera.matrix, truth.intrinsics, rtol=1e-6)


def test_depth_noise_changes_the_depth_and_nothing_else(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(tabletop, "HEIGHT", 96)
    monkeypatch.setattr(tabletop, "WIDTH", 128)
    noisy = tabletop.record_tabletop(tmp_path, index=2, frames=2, queries=1, depth_noise="realsense")
    with SensReader(recording.files.sens) as exact, SensReader(noisy.files.sens) as reader:
        for raw, clean in zip(reader, exact, strict=False):
            truth = scene(raw.index)
            moment = raw.index * STEP / 1e9
            expected = noisy_depth(truth.depth, truth.intrinsics, "realsense", frame_rng(truth.seed, moment))
            assert np.abs(raw.depth() / 1000.0 - expected).max() < 5.1e-4
            assert (raw.depth() == 0).any() and (clean.color() == raw.color()).all()
    with pytest.raises(ConfigurationError, match="'sonar'"):
        tabletop.record_tabletop(tmp_path / "other", depth_noise="sonar")
    assert not (tmp_path / "other").exists()


def test_truth_of_queries_is_the_simulators(recording):
    with Annotation(recording.files) as annotation:
        queries = read_queries(recording.queries, annotation)
        assert {query.kind for query in queries} == set(KINDS)
        assert all(query.frames == (0, 2) for query in queries)
        for query in queries:
            truth = frame_truth(annotation, query, 2, np.eye(4), (128, 96), boundary=0)
            mask = np.isin(scene(2).instances, [number + 1 for number in query.object_ids])
            assert truth is None or (np.array_equal(truth.mask, mask) and not truth.ignore.any())
        assert not annotation.instances(1).any()


def test_every_pixel_is_table_room_or_object(recording):
    with Annotation(recording.files) as annotation:
        instances = annotation.instances(0)
        names = {number: item.label for number, item in annotation.objects.items()}
    table, room = (number + 1 for number, label in names.items() if label in ("table", "room"))
    things = scene(0).instances
    assert np.array_equal(np.where(instances < table, instances, 0), things)
    assert np.count_nonzero(instances == table) > 1000 and set(np.unique(instances)) <= {*range(1, table + 1), room}
    for item in scene(0).objects:
        assert names[item.id - 1] == f"{item.colour} {item.category}"


def test_recording_again_gives_the_same_bytes(recording, tmp_path, monkeypatch):
    for name, value in {"HEIGHT": 96, "WIDTH": 128, "_LOST_EVERY": 2}.items():
        monkeypatch.setattr(tabletop, name, value)
    again = tabletop.record_tabletop(tmp_path, index=2, frames=3, queries=24, ask_every=2)
    for path in recording.files.sens.parent.iterdir():
        if path.is_file():
            assert path.read_bytes() == (again.files.sens.parent / path.name).read_bytes(), path.name


def test_interrupted_recordings_leave_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tabletop, "convert", interrupt)
    monkeypatch.setattr(tabletop, "HEIGHT", 48)
    monkeypatch.setattr(tabletop, "WIDTH", 64)
    assert main(["record", "tabletop", "--out", str(tmp_path), "--frames", "1"]) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_killed_recording_does_not_stop_the_next_one(tmp_path, start_process):
    command = [sys.executable, "-m", "lisa_ros", "record", "tabletop", "--out", tmp_path, "--frames"]
    process = start_process([*command, "1000"])
    deadline = time.monotonic() + 60.0
    while not any(path.stat().st_size > 100_000 for path in tmp_path.rglob("*.sens.partial")):
        assert time.monotonic() < deadline, process.output
        time.sleep(0.1)
    process.signal(signal.SIGKILL)
    process.wait(10.0)
    assert not (tmp_path / "tabletop0000_00").exists()
    assert start_process([*command, "1"]).wait(60.0) == 0
    assert (tmp_path / "tabletop0000_00" / "bag" / "metadata.yaml").is_file()


def test_the_packaged_example_is_recorded_whole_or_not_at_all(tmp_path, monkeypatch):
    for name, value in {"HEIGHT": 48, "WIDTH": 64}.items():
        monkeypatch.setattr(tabletop, name, value)
    for name, value in {"_FRAMES": 4, "_EVERY": 2}.items():
        monkeypatch.setattr(example, name, value)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(example, "write_queries", interrupt)  # of pairs of frames, after the recording itself
        example.example(tmp_path)
    assert list((tmp_path / "example").iterdir()) == []
    paths = example.example(tmp_path)
    queries = read_queries(paths.bag.parent / "queries.jsonl")
    assert {query.frames for query in queries} == {(0, 1, 2, 3)}
    assert example.example(tmp_path) == paths


def test_bad_arguments_are_refused(tmp_path, capsys):
    (tmp_path / "tabletop0000_00").mkdir()
    assert main(["record", "tabletop", "--out", str(tmp_path)]) == 2
    assert "cannot make" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="frames=0"):
        tabletop.record_tabletop(tmp_path, frames=0)
    with pytest.raises((ConfigurationError, IndexError)):
        tabletop.record_tabletop(tmp_path, index=-1)
