"""Teacher-forced validation gives the official masks, gIoU and cIoU."""

import json
import re

import numpy as np
import pytest
from accelerate import Accelerator
from golden_training import ROOT, TINY
from small_run import reset_accelerate

from lisa_ros.errors import InvalidImageError
from lisa_ros.images import read_image
from lisa_ros.types import Sample, TruthTarget, Turn
from training.errors import TrainingError
from training.loop.validation import scores, validate, validation_item
from training.model.objective import LisaObjective

pytestmark = pytest.mark.unit
PLACES = (ROOT / "tests" / "golden" / "datasets", ROOT.parent / "shared" / "golden" / "datasets")


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    reset_accelerate()


def golden_samples(golden, name):
    """The official validation set as samples; the truth is what the official loader gave."""
    directory = next((place for place in PLACES if place.is_dir()), None)
    if directory is None:
        pytest.skip("the miniature data sets are not here")
    arrays = np.load(golden.directory / "golden" / "validate.npz")
    samples = []
    for index, sample in enumerate(golden.json("validate")[name]["samples"]):
        truth, turns = arrays[f"{name}/{index}/gt_masks"], []
        for talk, mask in zip(sample["conversations"], truth, strict=True):
            words = re.search(r"<im_end>\n (.*) Please output segmentation mask\. ASSISTANT", talk)[1]
            phrase = re.fullmatch(r"What is (.*) in this image\?", words)
            text = phrase[1] if phrase else words
            turns.append(Turn(text, (TruthTarget(text, mask == 1),), "[SEG].", is_sentence=not phrase))
        ignore = (truth == 255).any(0)
        samples.append(Sample(read_image(directory / sample["image"]), tuple(turns), name, ignore))
    return samples


def ready(golden):
    checkpoint = golden.checkpoint()
    collator = golden.collator(checkpoint)
    return LisaObjective(checkpoint.network), collator, checkpoint.network.config


@pytest.mark.parametrize("name", ["reasonseg", "refcoco"])
def test_masks_and_scores_equal_the_official_ones(golden_variant, name, tmp_path):
    objective, collator, config = ready(golden_variant)
    samples = golden_samples(golden_variant, name)
    arrays = np.load(golden_variant.directory / "golden" / "validate.npz")
    objective.eval()
    for index, sample in enumerate(samples):
        batch = collator([validation_item(sample, sample.turns, config, str(index))])
        logits = objective(batch, predict=True)[0].detach().numpy()
        expected = arrays[f"{name}/{index}/pred_masks"]
        np.testing.assert_allclose(logits, expected, atol=max(1e-4, 2e-5 * np.abs(expected).max()), rtol=0)
    metrics = validate(
        objective, samples, collator, config, Accelerator(cpu=True), pictures=tmp_path, picture_count=1
    ).metrics
    official = golden_variant.json("validate")[name]
    assert metrics.giou == pytest.approx(official["giou"], abs=1e-5)
    assert metrics.ciou == pytest.approx(official["ciou"], abs=1e-5)
    assert len(list(tmp_path.glob("0000_*.png"))) == len(samples[0].turns)


def test_many_turns_and_absent_targets():
    """More turns than are asked at once; a target that is not there counts as such."""
    objective, collator, config = ready(TINY)
    image = TINY.image(0)
    mask = np.zeros(image.shape[:2], bool)
    mask[:50] = True
    turns = [Turn(f"thing {i}", (TruthTarget("x", mask if i % 2 else None),), "[SEG].") for i in range(11)]
    objective.train()
    metrics = validate(objective, [Sample(image, tuple(turns))] * 3, collator, config, Accelerator(cpu=True), 2).metrics
    assert objective.training
    assert (metrics.queries, metrics.absent, metrics.present) == (22, 12, 10)
    assert set(json.loads(json.dumps(scores(metrics)))) == {"giou", "ciou"}


class WithABrokenOne:
    """Three images; the second cannot be read."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            raise InvalidImageError("1.jpg cannot be read as an image")
        turn = Turn("thing", (TruthTarget("x", np.ones(TINY.image(0).shape[:2], bool)),), "[SEG].")
        return Sample(TINY.image(0), (turn,))


def test_an_image_that_cannot_be_read_is_left_out_and_named():
    objective, collator, config = ready(TINY)
    arguments = (objective, WithABrokenOne(), collator, config, Accelerator(cpu=True))
    scored = validate(*arguments, skip_limit=1)
    assert scored.metrics.queries == 2
    assert scored.left_out == ("1.jpg cannot be read as an image",)
    with pytest.raises(TrainingError, match=r"1 of 3 images cannot be scored \(data.skip_limit is 0\).*1\.jpg"):
        validate(*arguments)


class AllBroken(WithABrokenOne):
    """No image can be read: a wrong folder, as a rule."""

    def __getitem__(self, index):
        raise InvalidImageError(f"{index}.jpg cannot be read as an image")


def test_that_no_image_can_be_read_is_told_as_what_it_is():
    """Not as a limit that could be raised: whatever the limit, there is no score."""
    objective, collator, config = ready(TINY)
    with pytest.raises(TrainingError, match=r"none of 3 images can be scored.*data\.root.*2\.jpg") as caught:
        validate(objective, AllBroken(), collator, config, Accelerator(cpu=True), skip_limit=100)
    assert "skip_limit" not in str(caught.value)
