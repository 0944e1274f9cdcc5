"""Video models of transformers as trackers: their files, what they are given, and memory that does not grow."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lisa_ros.errors import CheckpointError, ConfigurationError, InvalidImageError
from lisa_ros.tracking import TargetFollower, tracker_factory
from lisa_ros.tracking.trackers import VIDEO_MODELS
from lisa_ros.tracking.video_model_tracker import VideoModelTracker
from lisa_ros.tracking.video_models import load_video_model
from lisa_ros.types import LOST, SEGMENTED, SegmentationResult, Target

sys.path.insert(0, str(Path(__file__).parent))
from tiny_video_models import MODELS, sam3_video

pytestmark = pytest.mark.unit
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{name: folder} of saved models with few random weights."""
    folders = {name: tmp_path_factory.mktemp(name) for name in MODELS}
    for name, folder in folders.items():
        MODELS[name]().save_pretrained(folder)
    return folders


@pytest.fixture(scope="module", params=VIDEO_MODELS)
def model(request, folders):
    return load_video_model(request.param, folders[request.param], CPU)


def picture(step=0, size=(90, 120)):
    image = np.random.default_rng(0).integers(60, 120, (*size, 3)).astype(np.uint8)
    image[30:60, 20 + step : 50 + step] = (200, 40, 40)
    return image


def square(left, size=(90, 120)):
    mask = np.zeros(size, bool)
    mask[30:60, left : left + 30] = True
    return mask


def test_every_mask_is_followed_in_the_images_size(model):
    tracker = VideoModelTracker(model)
    tracker.start(picture(), [square(20), square(70)])
    for step in range(1, 4):
        moved = tracker.update(picture(step))
        assert len(moved) == 2
        assert all(one.mask.shape == (90, 120) and one.mask.dtype == bool for one in moved)
        assert all(0.9 < one.confidence <= 1 for one in moved)
    tracker.start(picture(), [])
    assert tracker.update(picture(1)) == ()
    with pytest.raises(InvalidImageError, match=r"\(60, 80, 3\).*\(90, 120, 3\)"):
        tracker.update(picture(size=(60, 80)))
    with pytest.raises(InvalidImageError, match="none was started with"):
        VideoModelTracker(model).update(picture())


def test_a_session_keeps_what_the_model_looks_at_and_nothing_else(model, monkeypatch):
    """The same masks as of a session that keeps everything; the number of tensors it holds does not grow."""

    def logits(tracker, count=6):
        tracker.start(picture(), [square(20)])
        return [tracker._run(picture(number))[0] for number in _counted(tracker, count)]

    bounded = VideoModelTracker(model)
    ours = logits(bounded)
    session = bounded._session
    (outputs,) = session.output_dict_per_obj.values()
    assert len(outputs["non_cond_frame_outputs"]) == bounded._reach == 4 and len(outputs["cond_frame_outputs"]) == 1
    assert not session.processed_frames and not session.frames_tracked_per_obj[0]
    monkeypatch.setattr(VideoModelTracker, "_forget", lambda self: None)
    everything = VideoModelTracker(model)
    for mine, all_of_it in zip(ours, logits(everything), strict=True):
        torch.testing.assert_close(mine, all_of_it, rtol=0, atol=0)
    assert len(everything._session.processed_frames) == 7


def _counted(tracker, count):
    for number in range(1, count + 1):
        tracker._number = number
        yield number


def test_the_masks_that_it_is_started_with_matter(model):
    first, other = VideoModelTracker(model), VideoModelTracker(model)
    first.start(picture(), [square(20)])
    other.start(picture(), [square(80)])
    first._number = other._number = 1
    assert not torch.equal(first._run(picture(1))[0], other._run(picture(1))[0])


@pytest.mark.parametrize("name", VIDEO_MODELS)
def test_images_are_prepared_as_the_models_own_processor_does(folders, name):
    from transformers import Sam2VideoVideoProcessor, Sam3ImageProcessor

    model = load_video_model(name, folders[name], CPU)
    size = {"height": model.side, "width": model.side}
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    if name == "edgetam":
        wanted = Sam2VideoVideoProcessor(size=size)(videos=[image[None]], return_tensors="pt").pixel_values_videos[0]
    else:
        wanted = Sam3ImageProcessor(size=size)(images=image, return_tensors="pt").pixel_values
    ours = VideoModelTracker(model)._pixels(image)
    assert ours.shape == wanted.shape
    torch.testing.assert_close(ours, wanted.float(), rtol=0, atol=1.01 / 255 / 0.22)  # one step of 8 bits


def test_targets_keep_their_ids_with_a_video_model(model, monkeypatch):
    class Sure(VideoModelTracker):
        """As a trained model would say: random weights are not sure of anything."""

        def _run(self, image):
            logits, _ = super()._run(image)
            logits = torch.full_like(logits, -1)
            logits[..., 8:20, 8:20] = 1
            return logits, torch.full((len(logits),), 4.0)

    follower = TargetFollower(Sure(model), 60.0)
    answer = SegmentationResult("q", "It is there.", (Target("red", SEGMENTED, square(20)),))
    assert follower.follow(picture(), 0.0) is None
    first = follower.accept(picture(), 0.0, answer)
    for step in range(1, 4):
        later = follower.follow(picture(step), step / 10)
        assert [(one.id, one.kind) for one in later.targets] == [(first.targets[0].id, SEGMENTED)]
    monkeypatch.setattr(Sure, "_run", lambda self, image: (torch.full((1, 1, 8, 8), -1.0), torch.tensor([-4.0])))
    lost = follower.follow(picture(4), 0.4)
    assert [(one.id, one.kind) for one in lost.targets] == [(first.targets[0].id, LOST)]
    assert not lost.targets[0].mask.any()


def test_the_published_files_of_sam3_are_read(tmp_path):
    whole = sam3_video()
    whole.save_pretrained(tmp_path)
    loaded = load_video_model("sam3_tracker", tmp_path, CPU).network
    for name, value in loaded.object_pointer_proj.state_dict().items():
        assert torch.equal(value, whole.tracker_model.object_pointer_proj.state_dict()[name])


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_cannot_be_loaded_is_refused_by_name(folders, tmp_path, monkeypatch):
    def copy(name):
        folder = tmp_path / f"{name}{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folders[name], folder)
        return folder

    with pytest.raises(CheckpointError, match=r"edgetam: .*nowhere/config.json is not there"):
        load_video_model("edgetam", tmp_path / "nowhere", CPU)
    with pytest.raises(CheckpointError, match="model_type 'sam3_tracker_video'; it must be edgetam_video"):
        load_video_model("edgetam", folders["sam3_tracker"], CPU)
    (broken := copy("sam3_tracker") / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_video_model("sam3_tracker", broken.parent, CPU)
    pickled = copy("sam3_tracker")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no .*safetensors"):
        load_video_model("sam3_tracker", pickled, CPU)
    cut = copy("sam3_tracker")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_video_model("sam3_tracker", cut, CPU)
    deeper = copy("sam3_tracker")
    change_config(deeper, memory_fuser_num_layers=3)
    with pytest.raises(CheckpointError, match=r"missing keys: .*memory_fuser\.layers\.2"):
        load_video_model("sam3_tracker", deeper, CPU)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="needs timm"):
        load_video_model("edgetam", folders["edgetam"], CPU)


def test_names_and_folders_of_trackers_have_to_fit(folders):
    for name, folder, message in (
        ("song", "", "'song' is not one of flow, edgetam, sam3_tracker"),
        ("edgetam", "", "needs the folder"),
        ("flow", "/somewhere", "has no weights"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            tracker_factory(name, folder, CPU)
    new = tracker_factory("sam3_tracker", str(folders["sam3_tracker"]), CPU)
    first, second = new(), new()
    assert first is not second and first._model is second._model
