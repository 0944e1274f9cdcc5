"""The YAML of a run: every mistake is named with its key; what was resolved reads back the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_run import train_config

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam_config import SamConfig
from training.config.train_config import dump_config, load_config
from training.config.yaml_files import read_recipe

pytestmark = pytest.mark.unit
RECIPES = sorted((Path(__file__).parents[2] / "config" / "training").glob("*.yaml"))
ACCELERATE = Path(__file__).parents[2] / "config" / "training" / "accelerate"
LORA = [path for path in RECIPES if yaml.safe_load(path.read_text()).get("recipe") == "lora"]
SMALL = {"run_dir": "r", "model": {"source": "m"}, "data": {"groups": {}}, "batch": {"steps": 500}}


def write(path, values):
    path.write_text(yaml.safe_dump(values))
    return path


def test_round_trip(tmp_path):
    run = train_config(tmp_path)
    path = tmp_path / "settings.yaml"
    path.write_text(dump_config(run))
    assert load_config(path) == run


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stepz": 1}, "unknown key stepz"),
        ({"batch": {}}, "missing key batch.steps"),
        ({"batch": {"steps": 5, "batchsize": 1}}, "unknown key batch.batchsize"),
        ({"batch": {"steps": "many"}}, "batch.steps is 'many'; it must be of type int"),
        ({"batch": {"steps": True}}, "batch.steps is True"),
        ({"batch": {"steps": 0}}, "batch.steps is 0; it must be above 0"),
        ({"optimizer": {"lr": "fast"}}, "optimizer.lr is 'fast'; it must be of type float"),
        ({"optimizer": {"warmup_steps": 500}}, "warmup_steps is 500; it must be below batch.steps"),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas must have 2 values"),
        ({"devices": {"precision": "fp8"}}, "devices.precision is 'fp8'; it must be one of bf16, fp32"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr is nan; it must be above 0 and finite"),
        ({"optimizer": {"lr": float("inf")}}, "optimizer.lr is inf; it must be above 0 and finite"),
        ({"optimizer": {"eps": 0.0}}, "optimizer.eps is 0.0; it must be above 0"),
        ({"optimizer": {"betas": [0.9, 1.5]}}, "optimizer.betas[1] is 1.5; it must be 0 or above and below 1"),
        ({"optimizer": {"weight_decay": -1.0}}, "optimizer.weight_decay is -1.0; it must be 0 or above"),
        ({"batch": {"steps": 500, "workers": -1}}, "batch.workers is -1; it must be 0 or above"),
        ({"batch": {"steps": 500, "max_length": 0}}, "batch.max_length is 0; it must be above 0"),
        ({"seed": -1}, "seed is -1; it must be 0 or above"),
        ({"seed": 1 << 63}, "seed is 9223372036854775808; it must be 0 or above and below 2**63"),
        ({"model": {"source": "m", "sam": {"depth": "four"}}}, "model.sam.depth is 'four'; it must be of type int"),
        ({"model": {"source": "m", "sam": {"depth": None}}}, "model.sam.depth is None; it must be of type int"),
        ({"model": {"source": "m", "sam": {"decoder_heads": 0}}}, "model.sam.decoder_heads is 0; it must be 1 or"),
        ({"model": {"source": "m", "sam": {"deepth": 4}}}, "unknown key model.sam.deepth; there are"),
        (
            {"model": {"source": "m", "sam": {"stem_depths": [1, "x", 1]}}},
            "model.sam.stem_depths[1] is 'x'; it must be of type int",
        ),
        ({"validation": {"max_images": -3}}, "validation.max_images is -3; it must be above 0"),
        ({"data": {"groups": {"a": {"weight": 0, "sets": ["tabletop"]}}}}, "data.groups.a.weight is 0.0; it must be"),
        ({"data": {"groups": {"a": 5}}}, "data.groups.a must be a mapping"),
        (
            {"data": {"groups": {"a": {"weight": 1, "sets": "tabletop"}}}},
            "data.groups.a.sets is 'tabletop'; it must be of type list",
        ),
        ({"lora": {"r": 0}, "trainable": []}, "nothing would learn"),
        ({"lora": {"alpha": 0}}, "alpha 0"),
        ({"model": "m"}, "model must be a mapping"),
        ({"lora": {"r": -1}}, "r is -1"),
    ],
)
def test_mistakes_are_named(tmp_path, change, words):
    with pytest.raises(ConfigurationError) as error:
        load_config(write(tmp_path / "run.yaml", {**SMALL, **change}))
    assert words in str(error.value) and "run.yaml" in str(error.value)


def test_the_largest_seed_and_all_sizes_of_segment_anything(tmp_path):
    sam = SamConfig(stem_channels=(8, 16, 24), stem_depths=(1, 1, 1), window_size=0)
    values = {**SMALL, "seed": (1 << 63) - 1, "model": {"source": "m", "sam": sam.to_dict()}}
    run = load_config(write(tmp_path / "run.yaml", values))
    assert SamConfig.from_dict(run.model.sam) == sam
    torch.manual_seed(run.seed)
    np.random.default_rng((run.seed, 0))


def test_numbers_without_a_point(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL) + "optimizer: {lr: 1e-4}\n")
    assert load_config(path).optimizer.lr == 1e-4


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_recipe(tmp_path / "absent.yaml")
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is not text in UTF-8"):
        read_recipe(tmp_path / "run.yaml")
    for text, words in (("a: [", "not valid YAML"), ("[1]", "must hold a mapping"), ("recipe: x", "must be one of")):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match=words):
            read_recipe(tmp_path / "run.yaml")


@pytest.mark.parametrize("path", LORA, ids=lambda path: path.name)
def test_recipes_load_and_explain_every_key(path):
    load_config(path)
    for line in path.read_text().splitlines():
        if ":" in line and not line.lstrip().startswith("#") and not line.rstrip().endswith(":"):
            assert "#" in line, f"{path.name}: {line!r} has no comment"


def test_every_recipe_says_which_it_is():
    recipes = {"lora", "tabletop", "elisa", "compare_styles", "compare_choosers"}
    assert {read_recipe(path) for path in RECIPES} == recipes


@pytest.mark.parametrize("path", sorted(ACCELERATE.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_files(path):
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {"ddp": "MULTI_GPU", "two_nodes": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED"}
    assert load_config_from_file(str(path)).distributed_type == kinds[path.stem]


def test_a_home_directory_needs_no_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    path = tmp_path / "run.yaml"
    write(path, {**SMALL, "run_dir": "~/runs/one"})
    assert load_config(path).run_dir == Path("/home/somebody/runs/one")
    write(path, {**SMALL, "run_dir": "~nobody-of-this-name/runs"})
    with pytest.raises(ConfigurationError, match=r"run_dir is '~nobody-of-this-name/runs': .* Give the whole path"):
        load_config(path)
