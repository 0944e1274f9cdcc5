"""A miniature run of LLM-Seg's recipe: from LLaVA, Segment Anything and DINOv2 to a model that is asked."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from golden_variants import ROOT, LlmSegVariant

from lisa_ros import Lisa
from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.styles import get_style
from training.commands import merge, train
from training.config.train_config import load_config
from training.data.sources import TRAINING, VALIDATION, open_items, open_validation
from training.loop.run_directory import read_checkpoint

pytestmark = pytest.mark.unit
RECIPE = ROOT / "config" / "training" / "llmseg.yaml"
VARIANT = LlmSegVariant(ROOT / "tests" / "golden" / "llmseg_tiny")


@pytest.fixture
def fresh_accelerator():
    """Accelerate's state belongs to the process: neither an earlier run's is met nor is this one's left."""
    states = AcceleratorState, GradientState, PartialState
    for state in states:
        state._reset_state()
    yield
    for state in states:
        state._reset_state()


@pytest.fixture
def root(tmp_path):
    """A data folder with the miniatures of ReasonSeg and LLM-Seg40K and their proposals."""
    place = tmp_path / "data"
    shutil.copytree(VARIANT.directory / "reason_seg", place / "reason_seg")
    shutil.copytree(ROOT / "tests" / "golden" / "llmseg40k", place, dirs_exist_ok=True)
    for split in ("train", "val"):
        (path,) = VARIANT.directory.rglob(f"{split}/masks.json")
        (place / "proposals").mkdir(exist_ok=True)
        shutil.copyfile(path, place / "proposals" / f"reason_seg_{split}.json")
    for name in ("coco2017", "ego_objects"):
        shutil.copyfile(place / "processed_data" / name / "masks.json", place / "proposals" / f"{name}.json")
    return place


def test_the_recipe_names_sets_that_are_there():
    config = load_config(RECIPE)
    names = [name for group in config.data.groups.values() for name in group.sets]
    assert set(names) <= set(TRAINING) and set(config.validation.data) <= set(VALIDATION)
    assert config.model.style == "llmseg" and "mask_decoder" not in config.trainable


def test_a_run_from_the_recipe(tmp_path, root, fresh_accelerator):
    """Three steps that move what learns and nothing else, a validation, a merge, and an answer."""
    values = yaml.safe_load(RECIPE.read_text())
    head = {key: value for key, value in VARIANT.options["proposal_head"].items()}
    head |= {"mlp_dim": 64, "iop_dim": 16, "embedding_dim": 64}
    values["run_dir"] = str(tmp_path / "run")
    values["model"] |= {
        "source": str(VARIANT.directory / "llava_base"),
        "vision_tower": str(VARIANT.directory / "clip_tiny"),
        "sam_checkpoint": str(VARIANT.directory / "sam_tiny.pth"),
        "sam": VARIANT.meta["sam"],
        "dinov2": str(VARIANT.directory / "dinov2_tiny.pth"),
        "proposal_head": head,
    }
    files = ["reason_seg_train", "reason_seg_val", "coco2017", "ego_objects"]
    values["data"] |= {"root": str(root), "proposals": [f"proposals/{name}.json" for name in files]}
    values["data"]["groups"] = {"reason": {"weight": 1, "sets": ["ReasonSeg|train", "LLMSeg-40K|train"]}}
    values["batch"] |= {"steps": 3, "accumulation": 1, "workers": 0, "max_length": 512}
    values["optimizer"] |= {"warmup_steps": 1, "lr": 1e-3}
    values["devices"] |= {"precision": "fp32"}
    values["validation"] |= {"data": ["ReasonSeg|val"], "every": 3, "pictures": 1}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    config = load_config(path)
    train(config)
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert '"align"' in log and '"iop"' in log and '"mask_bce"' not in log and '"giou"' in log
    checkpoint = read_checkpoint(tmp_path / "run" / "last.pt")
    assert not any("visual_model" in name for name in checkpoint.weights)
    assert any("lisa_iou_head" in name for name in checkpoint.weights)
    merge(config, None, tmp_path / "merged")
    lisa = Lisa.from_pretrained(tmp_path / "merged", device="cpu", vision_tower=VARIANT.directory / "clip_tiny")
    assert lisa.model.style.name == "llmseg" and lisa.network.config.proposal_head.mlp_dim == 64
    published = VARIANT.lisa.network.model.visual_model_dinov2.state_dict()
    for name, value in lisa.network.model.visual_model_dinov2.state_dict().items():
        assert torch.equal(value, published[name]), name
    frame = lisa.encode(VARIANT.image("v1.jpg"), VARIANT.stored("v1.jpg"))
    assert lisa.segment(frame, "the red box").targets[0].candidate is not None


def test_proposals_come_with_the_items(root):
    config = load_config(RECIPE)
    data = replace(
        config.data,
        root=root,
        proposals=("proposals/reason_seg_train.json",),
        groups={"reason": replace(config.data.groups["reason_seg"], sets=("ReasonSeg|train",))},
    )
    items = open_items(data, 0, get_style("llmseg"))
    stored = StoredProposals(root / "proposals" / "reason_seg_train.json")
    assert all(item.proposals == stored[item.key] for item in (items[index] for index in range(4)))
    truth = open_items(replace(data, proposals=("truth",)), 0, get_style("llmseg"))
    assert (truth[0].proposals.masks[0] == truth[0].masks[0]).all()
    with pytest.raises(ConfigurationError, match=r"needs data\.proposals"):
        open_items(replace(data, proposals=()), 0, get_style("llmseg"))
    with pytest.raises(ConfigurationError, match=r"draws its masks and has no use for data\.proposals"):
        open_items(data, 0, get_style("lisa"))
    with pytest.raises(ConfigurationError, match="beside files"):
        open_items(replace(data, proposals=("truth", "a.json")), 0, get_style("llmseg"))


def test_simulated_scenes_have_their_truth():
    """Every object that is asked for is among the proposals of its scene."""
    (samples,) = open_validation(["tabletop|val"], ROOT, ("truth",)).values()
    assert isinstance(samples, WithProposals)
    sample = samples[0]
    for turn in sample.turns:
        for target in turn.targets:
            if target.mask is not None and target.mask.any():
                assert any(np.array_equal(target.mask, mask) for mask in sample.proposals.masks)
