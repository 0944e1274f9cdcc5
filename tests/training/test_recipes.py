"""Every recipe of adapters, its ablations too, trains two steps on miniature data as it stands."""

import json

import pytest
import yaml
from golden_training import ROOT, TINY
from mask2former_tiny import IMAGE_SIZE, write_mask2former

from lisa_ros.errors import ConfigurationError, LisaError
from training.__main__ import main
from training.config.train_config import load_config
from training.config.yaml_files import read_yaml
from training.data.sources import TRAINING

pytestmark = pytest.mark.unit
CONFIGS = ROOT / "config" / "training"
RECIPES = [
    path
    for path in sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("ablations/*.yaml")])
    if read_yaml(path)["recipe"] == "lora"
]
ABLATIONS = [path for path in RECIPES if path.parent.name == "ablations"]
GSVA = ROOT / "tests" / "golden" / "gsva_tiny"
SAM = json.loads((GSVA / "oracle_meta.json").read_text())["sam"]
DINOV2 = ROOT / "tests" / "golden" / "llmseg_tiny" / "dinov2_tiny.pth"
PROPOSAL_HEAD = {"dino_heads": 2, "input_size": 112, "pooling_size": 32, "mlp_dim": 64, "embedding_dim": 64}
COMMON = ROOT / "tests" / "golden" / "datasets"


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    return write_mask2former(tmp_path_factory.mktemp("mask2former"))


def miniature(path, run_dir, mask2former):
    """The recipe's values with a tiny base, miniature data and two steps; nothing else is changed."""
    values = read_yaml(path)
    values["run_dir"] = str(run_dir)
    if values["model"].get("mask2former"):
        base = {"source": str(GSVA / "llava_base"), "mask2former": str(mask2former), "mask2former_size": IMAGE_SIZE}
        tower = GSVA / "clip_tiny"
    elif values["model"].get("sam_checkpoint"):
        base = {"source": str(GSVA / "llava_base"), "sam_checkpoint": str(GSVA / "sam_tiny.pth"), "sam": SAM}
        tower = GSVA / "clip_tiny"
    else:
        base, tower = {"source": str(TINY.directory / "lisa_hf"), "sam": TINY.meta["sam"]}, TINY.directory / "clip_tiny"
    values["model"] |= base | {"vision_tower": str(tower)}
    data = values["data"]
    if values["model"].get("dinov2"):  # chooses among proposals
        values["model"] |= {"dinov2": str(DINOV2), "proposal_head": PROPOSAL_HEAD}
        data["proposals"] = ["truth"]
    data["root"] = str(COMMON)
    for group in data["groups"].values():
        group["sets"] = [one for one in group["sets"] if _is_here(one)] or ["tabletop"]
    values["batch"] |= {"steps": 2, "batch_size": 1, "accumulation": 2, "workers": 0, "max_length": 4096}
    values["optimizer"] |= {"warmup_steps": 1, "name": "adamw"}
    values["devices"] |= {"precision": "fp32", "quantization": "none"}
    values["validation"] |= {"data": ["tabletop|val"], "every": 2, "max_images": 1, "pictures": 0}
    values["cache"] |= {"directory": str(run_dir / "features")} if values["cache"]["directory"] else {}
    return values


def _is_here(name):
    """Whether the miniature data have the set; the tabletop world stands in for a group of which they have none."""
    try:
        return len(TRAINING[name](COMMON)) > 0
    except LisaError:
        return False


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_two_steps(path, tmp_path, mask2former):
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(miniature(path, tmp_path / "run", mask2former)))
    assert main(["train", "--config", str(small)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert (tmp_path / "run" / "best.pt").exists()


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_differs_in_one_thing(path):
    base, ablation = read_yaml(CONFIGS / "lisa_pretrain.yaml"), read_yaml(path)
    changed = {
        f"{section}.{key}"
        for section in base
        if isinstance(base[section], dict)
        for key in base[section]
        if base[section][key] != ablation[section][key]
    }
    assert len(changed) == 1 and ablation["run_dir"] == f"runs/ablations/{path.stem}"
    groups = base["data"]["groups"]
    assert all(groups[name] == group for name, group in ablation["data"]["groups"].items())
    if path.stem.startswith("without_"):
        assert set(groups) - set(ablation["data"]["groups"]) == {path.stem.removeprefix("without_")}
    load_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: [a]", r"base is \['a'\]; it must be the path of another file"),
        ("base: absent.yaml", "cannot read .*absent.yaml"),
        ("base: second.yaml", "its base second.yaml has a base itself"),
    ],
)
def test_a_wrong_base_is_named(tmp_path, text, words):
    (tmp_path / "second.yaml").write_text("base: third.yaml\n")
    (tmp_path / "first.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_yaml(tmp_path / "first.yaml")
