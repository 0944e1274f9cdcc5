"""LLM-Seg in the product: the interface of every system, candidates, what official code leaves to chance."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_variants import ROOT, LlmSegVariant

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.regions import NO_PROPOSALS
from lisa_ros.model.proposal_head import choose
from lisa_ros.model.saving import save_checkpoint
from lisa_ros.types import ABSENT, SEGMENTED, Finished, MaskReady

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def variant():
    return LlmSegVariant(ROOT / "tests" / "golden" / "llmseg_tiny")


@pytest.fixture(scope="module")
def lisa(variant):
    return variant.lisa


def test_targets_carry_their_candidate(variant, lisa):
    """The best of those that the mask is the union of; the same from a phrase, a sentence and a stream."""
    frame = variant.frame("v1.jpg")
    proposals = frame.regions.proposals
    (target,) = lisa.segment(frame, "the red box").targets
    assert target.kind == SEGMENTED and target.mask.shape == (frame.height, frame.width)
    covered = proposals.union_at([target.candidate.index], frame.height, frame.width)
    assert covered.any() and (target.mask | ~covered).all() and -1 <= target.candidate.score <= 1
    assert (target.mask == (target.logits > 0)).all() and 0 < target.mean_probability < 1
    both = lisa.segment_phrases(frame, ["the red box", "the dog"]).targets
    assert both[0].candidate.index == target.candidate.index and len(both) == 2


def test_stream_and_conversation(variant, lisa):
    case = next(one for one in variant.json("generate") if one["n_seg"] > 1)
    frame = lisa.encode(variant.image(case["image"]), variant.stored(case["image"]))
    limit = len(case["new_ids"])
    events = list(lisa.stream(frame, case["prompt"], max_new_tokens=limit))
    ready = [event.target for event in events if isinstance(event, MaskReady)]
    assert isinstance(events[-1], Finished) and len(ready) == case["n_seg"]
    assert all(target.candidate is not None for target in ready)
    for target, other in zip(events[-1].result.targets, ready, strict=True):
        assert target is other
    talk = lisa.conversation(frame)
    assert len(talk.ask(case["prompt"], max_new_tokens=limit).targets) == case["n_seg"]
    talk.ask("And the other one?", max_new_tokens=4)


def test_a_score_decides_where_a_rule_chooses_nothing(variant):
    """Official code gives an empty mask."""
    lisa = variant.load("merged", threshold=0.9999)
    frame = lisa.encode(variant.image("v1.jpg"), variant.stored("v1.jpg"))
    (target,) = lisa.segment(frame, "the red box").targets
    expected = frame.regions.proposals.union_at([target.candidate.index], frame.height, frame.width)
    assert target.mask.any() and (target.mask == expected).all()


def test_an_image_without_proposals_has_no_target_and_says_why(variant, lisa):
    image = variant.image("img1.png")
    frame = lisa.encode(image, Proposals(*image.shape[:2]))
    assert frame.reason == NO_PROPOSALS
    assert lisa.segment(frame, "the red box").targets == () and lisa.segment(frame, "a dog").reason == NO_PROPOSALS
    (phrase,) = lisa.segment_phrases(frame, ["the dog"]).targets
    assert phrase.kind == ABSENT and not phrase.mask.any()
    case = next(one for one in variant.json("generate") if one["n_seg"] > 1)
    answered = lisa.chat(frame, case["prompt"], max_new_tokens=16)
    assert answered.reason == NO_PROPOSALS and {target.kind for target in answered.targets} == {ABSENT}
    assert lisa.segment(variant.frame("v1.jpg"), "the dog").reason == ""


def test_proposals_are_made_from_the_frames_features(variant, lisa):
    """Without stored ones; Segment Anything's encoder runs once."""
    calls = []
    hook = lisa.network.sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    frame = lisa.encode(variant.image("v2.jpg"))
    hook.remove()
    assert len(calls) == 1 and len(frame.regions.proposals) == len(variant.stored("v2.jpg"))
    assert lisa.segment(frame, "the red box").targets[0].candidate.index == 0


def test_only_the_largest_are_kept(variant, lisa):
    stored = variant.stored("v3.jpg")
    assert (
        len(stored) > 50 and len(variant.frame("v3.jpg").regions.proposals) == lisa.network.config.proposal_head.limit
    )


def test_a_system_that_draws_takes_no_proposals():
    tabletop = Lisa.from_pretrained("tabletop", device="cpu")
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ConfigurationError, match="style lisa draws its masks"):
        tabletop.encode(image, Proposals(48, 64))
    assert tabletop.encode(image).regions is None


def test_what_is_saved_is_loaded(variant, lisa, tmp_path):
    """Its sizes stand in config.json then: nothing has to be given again, and another rule still can be."""
    save_checkpoint(lisa.model.checkpoint, tmp_path)
    again = Lisa.from_pretrained(tmp_path, device="cpu", vision_tower=variant.directory / "clip_tiny")
    assert again.network.config.proposal_head == lisa.network.config.proposal_head
    frame, before = again.encode(variant.image("v1.jpg"), variant.stored("v1.jpg")), variant.frame("v1.jpg")
    found, expected = again.segment(frame, "the dog").targets[0], lisa.segment(before, "the dog").targets[0]
    np.testing.assert_array_equal(found.mask, expected.mask)
    tower = {"vision_tower": variant.directory / "clip_tiny"}
    other = Lisa.from_pretrained(tmp_path, device="cpu", proposal_head={"rule": "similarity"}, **tower)
    assert other.network.config.proposal_head == replace(lisa.network.config.proposal_head, rule="similarity")
    with pytest.raises(ConfigurationError, match="there are similarity, iop"):
        Lisa.from_pretrained(tmp_path, device="cpu", proposal_head={"rule": "best"}, **tower)
    with pytest.raises(ConfigurationError, match="unknown keys in proposal_head: rules"):
        Lisa.from_pretrained(tmp_path, device="cpu", proposal_head={"rules": "iop"}, **tower)


def without_dinov2(variant, place):
    shutil.copytree(variant.directory / "llmseg_hf", place)
    weights = torch.load(place / "pytorch_model.bin", weights_only=True)
    kept = {key: value for key, value in weights.items() if "visual_model_dinov2" not in key}
    torch.save(kept, place / "pytorch_model.bin")


def test_missing_weights_of_dinov2_are_named_and_found(variant, lisa, tmp_path):
    place = tmp_path / "model"
    without_dinov2(variant, place)
    where = str(place / "dinov2_vitl14_pretrain.pth").replace(".", r"\.")
    with pytest.raises(CheckpointError, match=rf"no weights of DINOv2.*Download https://.*put it at {where}"):
        Lisa.from_pretrained(place, device="cpu", **variant.options)
    shutil.copyfile(variant.directory / "dinov2_tiny.pth", place / "dinov2_vitl14_pretrain.pth")
    beside = Lisa.from_pretrained(place, device="cpu", **variant.options)
    (place / "dinov2_vitl14_pretrain.pth").unlink()
    given = Lisa.from_pretrained(place, device="cpu", dinov2=variant.directory / "dinov2_tiny.pth", **variant.options)
    own = dict(lisa.network.model.visual_model_dinov2.named_parameters())
    for other in (beside, given):
        for name, value in other.network.model.visual_model_dinov2.named_parameters():
            assert torch.equal(value, own[name]), name


def test_deepspeeds_directory_needs_its_base(variant, tmp_path):
    with pytest.raises(CheckpointError, match="Give with base=PATH the LLaVA"):
        Lisa.from_pretrained(variant.directory / "ckpt_model", device="cpu")
    assert variant.unmerged.model.style.name == variant.lisa.model.style.name == "llmseg"
    (tmp_path / "latest").write_text("../elsewhere")
    with pytest.raises(CheckpointError, match="it must be a folder beside it"):
        Lisa.from_pretrained(tmp_path, device="cpu", base=variant.directory / "llava_base")


def test_a_config_of_another_width_is_refused(variant, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(variant.directory / "llmseg_hf", place)
    values = json.loads((place / "config.json").read_text()) | {"proposal_head": {"mlp_dim": 3}}
    (place / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="of wrong shape"):
        Lisa.from_pretrained(place, device="cpu", **variant.options)


def test_rules():
    similarity, iop = np.float32([0.1, 0.9, 0.5, 0.4, 0.3, 0.2]), np.float32([0.9, 0.2, 0.6, 0.5, 0.1, 0.7])
    assert choose(similarity, iop, "similarity", 0.5) == [1]
    assert choose(similarity, iop, "iop", 0.5) == [0, 2, 5]
    assert choose(similarity, iop, "similarity_and_iop", 0.5) == [0, 1, 2, 5]
    assert choose(similarity, iop, "iop_of_five", 0.5) == [2, 5]
    assert choose(similarity, iop, "iop", 0.95) == [] == choose(similarity[:0], iop[:0], "similarity", 0.5)
