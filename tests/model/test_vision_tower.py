"""A vision tower that was trained with the checkpoint and lies in it: used, saved, or refused, never left out."""

import pytest
import torch
from checkpoint_files import SAM, TINY, WEIGHTS, change_json, copy_of, load_tiny, refusal, stored_weights

from lisa_ros.model.checkpoint import load
from lisa_ros.model.saving import save_pretrained

pytestmark = pytest.mark.unit
PREFIX = "model.vision_tower.vision_tower.vision_model."
PLAIN = torch.load(TINY / "clip_tiny" / WEIGHTS, weights_only=True)


@pytest.fixture
def directory(tmp_path):
    return copy_of("lisa_hf", tmp_path)


def tower_in(directory, change=lambda value: value, prefix=PREFIX, without=""):
    """Writes the tower's weights into the checkpoint; returns what is now there, by CLIP's own names."""
    names = {key: key.removeprefix("vision_model.") for key in PLAIN if not without or without not in key}
    own = {name: change(PLAIN[key]) if PLAIN[key].is_floating_point() else PLAIN[key] for key, name in names.items()}
    torch.save(stored_weights() | {prefix + name: value for name, value in own.items()}, directory / WEIGHTS)
    return own


def assert_used(network, own):
    state = network.vision_tower.model.state_dict()
    for name, value in state.items():
        if "post_layernorm" not in name:
            torch.testing.assert_close(value, own[name].float(), rtol=0, atol=0)


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("prefix", [PREFIX, "model.vision_tower.vision_model.", "model.vision_tower."])
def test_a_tuned_tower_is_used(directory, said, prefix):
    own = tower_in(directory, lambda value: value * 1.01, prefix)
    change_json(directory / "config.json", unfreeze_mm_vision_tower=said)
    network = load_tiny(directory).network
    assert_used(network, own)
    assert network.config.unfreeze_mm_vision_tower
    pixels = torch.randn(1, 3, 56, 56)
    with torch.inference_mode():
        assert not torch.allclose(network.vision_tower(pixels), load_tiny().network.vision_tower(pixels), atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_plain_tower_in_another_number_format_is_the_plain_tower(directory, dtype):
    """As LLaVA-1.5 stores it beside its own weights: what is used are the tower's files, as LISA does."""
    tower_in(directory, lambda value: value.to(dtype))
    network = load_tiny(directory).network
    assert not network.config.unfreeze_mm_vision_tower
    expected = load_tiny().network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


def test_a_tuned_tower_outlives_saving_and_loading(directory, tmp_path):
    own = tower_in(directory, lambda value: value + 0.01)
    save_pretrained(load_tiny(directory).network, directory, tmp_path / "again")
    assert_used(load(tmp_path / "again", vision_tower=TINY / "clip_tiny").network, own)


def test_layers_that_are_not_read_may_be_missing(directory):
    own = tower_in(directory, lambda value: value * 1.01, without="post_layernorm")
    assert_used(load_tiny(directory).network, own)


@pytest.mark.parametrize(
    ("change", "without", "words"),
    [
        (lambda value: value.repeat_interleave(2, 0), "", "of another shape"),
        (lambda value: value * 1.01, "layers.0.mlp.fc1", "2 weights are missing"),
        (lambda value: value * float("nan"), "", "not finite"),
    ],
)
def test_a_tower_that_does_not_fit_is_refused(directory, change, without, words):
    tower_in(directory, change, without=without)
    message = refusal(directory)
    assert words in message and str(directory) in message


def test_weights_that_are_no_clip_are_refused(directory):
    tower_in(directory)
    torch.save(stored_weights(directory) | {PREFIX + "head.probe": torch.zeros(1)}, directory / WEIGHTS)
    assert "1 unknown" in refusal(directory) and "head.probe" in refusal(directory)


@pytest.mark.parametrize(
    "said", [{"unfreeze_mm_vision_tower": True}, {"mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter"}]
)
def test_a_tuned_tower_that_is_not_there_is_asked_for(directory, said):
    change_json(directory / "config.json", **said)
    message = refusal(directory)
    assert "unfreeze_mm_vision_tower" in message and "holds no weights of it" in message


def test_number_formats(directory):
    own = tower_in(directory, lambda value: value * 1.01)
    tower = load(directory, vision_tower=TINY / "clip_tiny", sam=SAM, dtype=torch.bfloat16).network.vision_tower
    name = "embeddings.class_embedding"
    assert torch.equal(tower.model.state_dict()[name], own[name].bfloat16())
