"""The YAML of a run: every mistake is named with its key; what was resolved reads back the same."""

from pathlib import Path

import pytest
import yaml
from small_run import settings

from lisa_ros.errors import ConfigurationError
from training.settings import dump_settings, load_settings, read_recipe

pytestmark = pytest.mark.unit
RECIPES = sorted((Path(__file__).parents[2] / "config" / "training").glob("*.yaml"))
ACCELERATE = Path(__file__).parents[2] / "config" / "training" / "accelerate"
LORA = [path for path in RECIPES if yaml.safe_load(path.read_text()).get("recipe") == "lora"]
SMALL = {"run_dir": "r", "model": {"source": "m"}, "data": {"groups": {}}, "batch": {"steps": 500}}


def write(path, values):
    path.write_text(yaml.safe_dump(values))
    return path


def test_round_trip(tmp_path):
    run = settings(tmp_path)
    path = tmp_path / "settings.yaml"
    path.write_text(dump_settings(run))
    assert load_settings(path) == run


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
        ({"model": "m"}, "model. must be a mapping"),
        ({"lora": {"r": -1}}, "r is -1"),
        ({"cache": {"directory": "c"}, "trainable": ["image_encoder"]}, "cache.directory is set"),
    ],
)
def test_mistakes_are_named(tmp_path, change, words):
    with pytest.raises(ConfigurationError) as error:
        load_settings(write(tmp_path / "run.yaml", {**SMALL, **change}))
    assert words in str(error.value) and "run.yaml" in str(error.value)


def test_numbers_without_a_point(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL) + "optimizer: {lr: 1e-4}\n")
    assert load_settings(path).optimizer.lr == 1e-4


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_recipe(tmp_path / "absent.yaml")
    for text, words in (("a: [", "not valid YAML"), ("[1]", "must hold a mapping"), ("recipe: x", "must be one of")):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match=words):
            read_recipe(tmp_path / "run.yaml")


@pytest.mark.parametrize("path", LORA, ids=lambda path: path.name)
def test_recipes_load_and_explain_every_key(path):
    load_settings(path)
    for line in path.read_text().splitlines():
        if ":" in line and not line.lstrip().startswith("#") and not line.rstrip().endswith(":"):
            assert "#" in line, f"{path.name}: {line!r} has no comment"


def test_every_recipe_says_which_it_is():
    assert {read_recipe(path) for path in RECIPES} == {"lora", "tabletop"}


@pytest.mark.parametrize("path", sorted(ACCELERATE.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_files(path):
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {"ddp": "MULTI_GPU", "two_nodes": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED"}
    assert load_config_from_file(str(path)).distributed_type == kinds[path.stem]
