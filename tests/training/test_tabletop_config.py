"""The YAML of the tabletop recipe: wrong keys, types and ranges are named in one line."""

from pathlib import Path

import pytest
import yaml

from lisa_ros.errors import ConfigurationError
from training.tabletop.config import load_config
from training.tabletop.tokenizer import write_tokenizer

pytestmark = pytest.mark.unit
CONFIG = Path(__file__).parents[2] / "config" / "training" / "tabletop.yaml"


def write(path, section, key, value):
    """The recipe's file with one value of its own; `value` as it stands in the YAML."""
    values = yaml.safe_load(CONFIG.read_text())
    values[section][key] = "VALUE"
    path.write_text(yaml.safe_dump(values).replace("VALUE", value))
    return path


def test_the_recipe_loads():
    config = load_config(CONFIG)
    assert len(config.model.stem_depths) == 3 and config.vision.lr == 1e-3
    assert config.model.sam().stem_channels == config.model.stem_channels


@pytest.mark.parametrize("word", ["1e-3", "1", "0.5"])
def test_numbers_without_a_point(tmp_path, word):
    lr = load_config(write(tmp_path / "run.yaml", "vision", "lr", word)).vision.lr
    assert lr == float(word) and isinstance(lr, float)


def test_the_vision_parts_may_stay_as_they_are(tmp_path):
    path = write(tmp_path / "run.yaml", "tabletop", "encoder_lr_scale", "0")
    assert load_config(path).tabletop.encoder_lr_scale == 0


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("vision", "lr", "1e-3x", "vision.lr is '1e-3x'; it must be of type float"),
        ("language", "lr", "-1.0", "language.lr is -1.0; it must be above 0 and finite"),
        ("tabletop", "lr", ".nan", "tabletop.lr is nan; it must be above 0 and finite"),
        ("vision", "lr", ".inf", "vision.lr is inf; it must be above 0 and finite"),
        ("vision", "batch_size", "0", "vision.batch_size is 0; it must be above 0"),
        ("language", "steps", "0", "language.steps is 0; it must be above 0"),
        ("tabletop", "steps", "2.5", "tabletop.steps is 2.5; it must be of type int"),
        ("tabletop", "questions_per_scene", "true", "tabletop.questions_per_scene is True; it must be of type int"),
        (
            "tabletop",
            "encoder_lr_scale",
            "-0.5",
            "tabletop.encoder_lr_scale is -0.5; it must be 0 or above 0 and finite",
        ),
        ("model", "depth", "two", "model.depth is 'two'; it must be of type int"),
        ("model", "num_heads", "0", "model.num_heads is 0; it must be above 0"),
        ("model", "stem_depths", "2", "model.stem_depths is 2; it must be of type list"),
        ("model", "stem_depths", "[1, 1]", "model.stem_depths must have 3 values, not 2"),
        ("model", "stem_channels", "[8, x, 24]", "model.stem_channels[1] is 'x'; it must be of type int"),
        ("model", "stem_channels", "[8, 16, -1]", "model.stem_channels[2] is -1; it must be above 0"),
        ("model", "num_heads", "5", "sam.embed_dim 192 is not a multiple of its 5 heads"),
        ("model", "prompt_embed_dim", "136", "sam.prompt_embed_dim 136 is not a multiple of twice its 8 heads"),
        ("model", "hidden_size", "252", "model.hidden_size is 252; it must be a multiple of 8, twice model.num_atten"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, section, key, value, words):
    path = write(tmp_path / "run.yaml", section, key, value)
    with pytest.raises(ConfigurationError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: {words}") and "\n" not in str(error.value)


@pytest.mark.parametrize(("vocab_size", "limit"), [(270, "smaller than required_chars"), (100_000, "too high")])
def test_a_vocabulary_that_the_texts_cannot_give(tmp_path, vocab_size, limit):
    with pytest.raises(ConfigurationError, match=f"model.vocab_size is {vocab_size}: .*{limit}"):
        write_tokenizer(["USER: Where is the red mug? ASSISTANT:"], vocab_size, tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()


@pytest.mark.parametrize(("text", "words"), [("a: [", "not valid YAML"), ("[1]", "must hold a mapping")])
def test_files_that_are_no_recipe(tmp_path, text, words):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load_config(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_config(tmp_path / "absent.yaml")
