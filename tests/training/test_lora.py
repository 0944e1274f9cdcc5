"""Adapters: the official targets, trained set and layouts, and a merge that is equal bit for bit."""

import json
import shutil

import pytest
import torch
from golden_training import TINY, TRAINABLE
from safetensors.torch import save_file

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.model.saving import write_checkpoint
from lisa_ros.model.weights import read_weights
from training.config.sections import LoraConfig, ModelConfig
from training.model.base import extend_tokenizer, load_base
from training.model.lora import load_unmerged, merged_weights, official_key, prepare, target_modules, unmerged_weights

pytestmark = pytest.mark.unit
SAM = "model.visual_model."


def published(golden):
    weights = read_weights(golden.directory / "lisa_hf")
    return {key: value for key, value in weights.items() if not key.endswith("inv_freq")}


def assert_bitwise(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key


def test_targets_and_trained_set(golden_variant):
    checkpoint = golden_variant.checkpoint()
    targets = target_modules(checkpoint.network, ("q_proj", "v_proj"))
    assert targets == golden_variant.train["lora_target_modules"]
    prepare(checkpoint.network, golden_variant.lora(), TRAINABLE)
    trained = {official_key(name) for name, p in checkpoint.network.named_parameters() if p.requires_grad}
    assert trained == set(golden_variant.train["trainable_parameter_names"])


def test_the_merge_equals_the_published_checkpoint(golden_variant, tmp_path):
    """Un-merged in, merged out, through files, bit for bit; the result loads."""
    checkpoint = golden_variant.unmerged_checkpoint()
    weights = merged_weights(checkpoint.network, torch.bfloat16)
    assert_bitwise(weights, published(golden_variant))
    write_checkpoint(checkpoint.network.config, weights, checkpoint.directory, tmp_path)
    assert_bitwise(read_weights(tmp_path), published(golden_variant))
    load(tmp_path, vision_tower=golden_variant.directory / "clip_tiny")


def test_the_official_ingredients_make_the_published_checkpoint(golden_variant, tmp_path):
    """LLaVA, Segment Anything and the un-merged file: tokens, sizes and weights are as in lisa_hf."""
    directory = golden_variant.directory
    if not (directory / "llava_base").is_dir():
        pytest.skip("this copy has no llava_base")
    train_config = ModelConfig(
        str(directory / "llava_base"),
        vision_tower=str(directory / "clip_tiny"),
        sam_checkpoint=str(directory / "sam_tiny.pth"),
        sam=golden_variant.meta["sam"],
    )
    checkpoint = load_base(train_config, tmp_path, torch.float32, seed=0)
    assert checkpoint.tokenizer.added == json.loads((directory / "lisa_hf" / "added_tokens.json").read_text())
    prepare(checkpoint.network, golden_variant.lora(), TRAINABLE)
    load_unmerged(checkpoint.network, golden_variant.unmerged(), "golden")
    assert_bitwise(merged_weights(checkpoint.network, torch.bfloat16), published(golden_variant))


def test_unmerged_layout_round_trip():
    checkpoint, again = TINY.unmerged_checkpoint(), TINY.checkpoint()
    weights = unmerged_weights(checkpoint.network)
    prepare(again.network, TINY.lora(), TRAINABLE)
    load_unmerged(again.network, weights, "test")
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, checkpoint.network.state_dict()[name]), name
    del weights["base_model.model.lm_head.weight"]
    with pytest.raises(CheckpointError, match=r"missing: base_model\.model\.lm_head"):
        load_unmerged(again.network, weights, "test")
    with pytest.raises(CheckpointError, match="not an un-merged checkpoint"):
        load_unmerged(again.network, published(TINY), "test")


def miniature_llava(directory):
    """A LLaVA and a Segment Anything taken out of the reference LISA: no [SEG], no projection."""
    weights = published(TINY)
    sam = {key.removeprefix(SAM): weights.pop(key).clone() for key in list(weights) if key.startswith(SAM)}
    weights = {key: value for key, value in weights.items() if "text_hidden" not in key}
    old = TINY.meta["spm_vocab"]
    for key in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[key] = weights[key][:old].clone()
    directory.mkdir()
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(TINY.directory / "lisa_hf" / name, directory / name)
    config = json.loads((TINY.directory / "lisa_hf" / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("train_mask_decoder", "out_dim")}
    (directory / "config.json").write_text(json.dumps(config | {"vocab_size": old}))
    save_file({key: value.contiguous() for key, value in weights.items()}, directory / "model.safetensors")
    torch.save(sam, directory.parent / "sam.pth")
    return weights, sam


def new_lisa(place) -> ModelConfig:
    """TrainConfig that join what `miniature_llava` wrote."""
    return ModelConfig(
        str(place / "llava"),
        vision_tower=str(TINY.directory / "clip_tiny"),
        sam_checkpoint=str(place / "sam.pth"),
        sam=TINY.meta["sam"],
    )


def test_a_new_lisa_from_llava_and_segment_anything(tmp_path):
    weights, sam = miniature_llava(tmp_path / "llava")
    train_config = new_lisa(tmp_path)
    made = load_base(train_config, tmp_path / "tokenizer", torch.float32, seed=1)
    state = made.network.state_dict()
    assert len(made.tokenizer) == made.network.config.vocab_size == TINY.meta["vocab_size"]
    assert made.tokenizer.seg_id == TINY.meta["seg_token_idx"]
    for key, value in weights.items():
        assert torch.equal(state[key][: len(value)], value.float()), key
    for key, value in sam.items():
        assert torch.equal(state[SAM + key], value.float()), key
    fresh = state["model.embed_tokens.weight"][TINY.meta["spm_vocab"] :]
    assert fresh.shape[0] == 3 and 0 < fresh.std() < 0.05
    again = load_base(train_config, tmp_path / "tokenizer2", torch.float32, seed=1).network.state_dict()
    assert all(torch.equal(state[key], again[key]) for key in state)
    with pytest.raises(ConfigurationError, match=r"is not a LISA checkpoint; .* give either model"):
        load_base(ModelConfig(str(tmp_path / "llava")), tmp_path / "t", torch.float32, 0)


def change_config(directory, **values):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "file", "words"),
    [
        ({"text_config": {}, "vision_config": {}}, None, "layout of transformers"),
        ({"model_type": "llava_qwen"}, None, "'llava_qwen', whose language model is not LLaMA"),
        ({"model_type": "llava_next"}, None, "'llava_next'"),
        ({"mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres"}, None, "`mm_patch_merge_type`"),
        ({}, "pytorch_model-text_hidden_fcs.bin", "LISA v0"),
        ({}, "adapter_model.bin", "holds an adapter"),
    ],
)
def test_a_base_of_another_layout_is_told(tmp_path, values, file, words):
    miniature_llava(tmp_path / "llava")
    change_config(tmp_path / "llava", **values)
    if file:
        (tmp_path / "llava" / file).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_base(new_lisa(tmp_path), tmp_path / "t", torch.float32, 0)
    assert words in str(caught.value) and str(tmp_path / "llava") in str(caught.value)


def test_a_language_model_without_projector_is_told(tmp_path):
    weights, _ = miniature_llava(tmp_path / "llava")
    plain = {key: value.contiguous() for key, value in weights.items() if "mm_projector" not in key}
    save_file(plain, tmp_path / "llava" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no weights model\.mm_projector.*language model alone"):
        load_base(new_lisa(tmp_path), tmp_path / "t", torch.float32, 0)


def test_a_base_that_pads_its_images_makes_a_lisa_that_does_not(tmp_path):
    """LLaVA-1.5; LISA's own code sets the key to square, whatever its base says."""
    miniature_llava(tmp_path / "llava")
    change_config(tmp_path / "llava", image_aspect_ratio="pad")
    made = load_base(new_lisa(tmp_path), tmp_path / "t", torch.float32, 0)
    assert made.network.vision_tower is not None


def test_a_tuned_tower_of_the_base_reaches_the_merged_lisa(tmp_path):
    """A base whose vision tower was trained, adapters on it, merged, loaded: the tower is still the trained one."""
    weights, _ = miniature_llava(tmp_path / "llava")
    plain = torch.load(TINY.directory / "clip_tiny" / "pytorch_model.bin", weights_only=True)
    prefix = "model.vision_tower.vision_tower.vision_model."
    own = {prefix + key.removeprefix("vision_model."): value for key, value in plain.items()}
    own = {key: value * 1.01 if value.is_floating_point() else value for key, value in own.items()}
    save_file(
        {key: value.contiguous() for key, value in (weights | own).items()}, tmp_path / "llava" / "model.safetensors"
    )
    made = load_base(new_lisa(tmp_path), tmp_path / "t", torch.float32, 0)
    prepare(made.network, LoraConfig(), ())
    write_checkpoint(made.network.config, merged_weights(made.network, torch.float32), made.directory, tmp_path / "out")
    again = load(tmp_path / "out", vision_tower=TINY.directory / "clip_tiny").network
    name = "vision_tower.model.embeddings.class_embedding"
    expected = own[f"{prefix}embeddings.class_embedding"]
    assert torch.equal(again.state_dict()[name], expected)


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_the_tower_in_an_unmerged_file_is_compared_with_the_one_that_is_loaded(factor):
    checkpoint = TINY.checkpoint()
    prepare(checkpoint.network, TINY.lora(), TRAINABLE)
    plain = torch.load(TINY.directory / "clip_tiny" / "pytorch_model.bin", weights_only=True)
    prefix = "base_model.model.model.vision_tower.vision_tower."
    tower = {prefix + key: value * factor for key, value in plain.items() if value.is_floating_point()}
    weights = TINY.unmerged() | {key: value.bfloat16() for key, value in tower.items()}
    load_unmerged(checkpoint.network, weights, "golden")
    assert checkpoint.network.config.unfreeze_mm_vision_tower == (factor != 1)
    merged = merged_weights(checkpoint.network, torch.bfloat16)
    assert any("vision_tower" in key for key in merged) == (factor != 1)


def test_fine_tuning_a_lisa_keeps_its_decoder_and_projection(tmp_path):
    train_config = ModelConfig(
        str(TINY.directory / "lisa_hf"), vision_tower=str(TINY.directory / "clip_tiny"), sam=TINY.meta["sam"]
    )
    state = load_base(train_config, tmp_path, torch.float32, seed=5).network.state_dict()
    for key, value in published(TINY).items():
        assert torch.equal(state[key], value.float()), key
    with pytest.raises(ConfigurationError, match="keeps its own Segment Anything"):
        load_base(ModelConfig(train_config.source, sam_checkpoint="sam.pth"), tmp_path, torch.float32, 0)


TOKENS = ("[SEG]", "<im_start>", "<im_end>")


def test_tokens_are_added_once(tmp_path):
    first = extend_tokenizer(TINY.directory / "lisa_hf", tmp_path / "a", TOKENS)
    second = extend_tokenizer(tmp_path / "a", tmp_path / "b", TOKENS)
    assert first.added == second.added == json.loads((TINY.directory / "lisa_hf" / "added_tokens.json").read_text())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b'{"hidden_size": '),
        ("config.json", b"\xff\xfe{}"),
        ("config.json", b"[]"),
        ("added_tokens.json", b"{"),
        ("added_tokens.json", b"\xff"),
        ("added_tokens.json", b'{"<pad>": "32000"}'),
        ("tokenizer.model", b"no model"),
    ],
)
def test_a_damaged_file_of_a_llava_is_named(tmp_path, name, content):
    source = tmp_path / "llava"
    source.mkdir()
    shutil.copyfile(TINY.directory / "lisa_hf" / "tokenizer.model", source / "tokenizer.model")
    (source / "config.json").write_text('{"model_type": "llava"}')
    (source / name).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_base(ModelConfig(str(source), sam_checkpoint="sam.pth"), tmp_path / "t", torch.float32, 0)
    assert str(error.value).startswith(str(source / name)) and "\n" not in str(error.value)


def test_wrong_names_are_told():
    network = TINY.checkpoint().network
    for targets, named in ((("query",), "'query'"), (("q_proj", "x_proj"), "'x_proj'"), ((), "the empty list")):
        with pytest.raises(ConfigurationError, match=f"lora.targets: {named} names no linear layer .*q_proj"):
            target_modules(network, targets)
    with pytest.raises(ConfigurationError, match="'decoderr' is in no parameter's name"):
        prepare(network, LoraConfig(r=0), ("decoderr",))
