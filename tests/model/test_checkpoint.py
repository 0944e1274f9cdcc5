"""Loading and saving: what is in a checkpoint directory, and everything that can be wrong with it."""

import json
import os
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_files import SAM, TINY, WEIGHTS, load_tiny, refusal
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, MemoryBudgetError
from lisa_ros.model.checkpoint import find, load, packaged_names
from lisa_ros.model.config import SHARED_TOWER, LisaConfig, parse_config
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.saving import save_pretrained

pytestmark = pytest.mark.unit


@pytest.fixture
def directory(tmp_path):
    """A copy of the tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(TINY / "lisa_hf", tmp_path / "checkpoint"))


@pytest.fixture
def weights():
    return torch.load(TINY / "lisa_hf" / WEIGHTS, weights_only=True)


def change_config(directory, **values):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def assert_same_weights(first: LisaNetwork, second: LisaNetwork) -> None:
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    for key, value in a.items():
        torch.testing.assert_close(value, b[key], rtol=0, atol=0, msg=key)


def test_types_and_modes():
    network = load_tiny().network
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    network = load_tiny(dtype=torch.bfloat16).network
    for key, value in network.state_dict().items():
        wide = any(part in key for part in ("text_hidden_fcs", "mask_decoder", "prompt_encoder", "neck"))
        assert value.dtype == (torch.float32 if wide else torch.bfloat16), key


def test_sam_sizes_without_help(directory):
    """Only the number of decoder heads is not in the shapes."""
    inferred = load_tiny(directory, sam={"decoder_heads": SAM["decoder_heads"]}).network.config.sam
    assert inferred == load_tiny(directory).network.config.sam


def shard(directory, weights, names):
    """Splits the weights over files, in the order of their keys."""
    keys = sorted(weights)
    parts = {name: keys[i :: len(names)] for i, name in enumerate(names)}
    safe = names[0].endswith(".safetensors")
    for name, part in parts.items():
        chosen = {key: weights[key].contiguous() for key in part}
        save_file(chosen, directory / name) if safe else torch.save(chosen, directory / name)
    index = {"metadata": {}, "weight_map": {key: name for name, part in parts.items() for key in part}}
    stem = "model.safetensors" if safe else WEIGHTS
    (directory / f"{stem}.index.json").write_text(json.dumps(index))
    (directory / WEIGHTS).unlink()


@pytest.mark.parametrize("pattern", ["pytorch_model-0000{}-of-00003.bin", "model-0000{}-of-00003.safetensors"])
def test_shards(directory, weights, pattern):
    shard(directory, weights, [pattern.format(i) for i in (1, 2, 3)])
    assert_same_weights(load_tiny(directory).network, load_tiny().network)


def test_missing_shard(directory, weights):
    shard(directory, weights, ["a.bin", "b.bin"])
    (directory / "b.bin").unlink()
    message = refusal(directory)
    assert "index.json names 2 shards, 1 are missing: b.bin" in message


def test_shard_without_its_weights(directory, weights):
    shard(directory, weights, ["a.bin", "b.bin"])
    torch.save({}, directory / "b.bin")
    assert "b.bin lacks" in refusal(directory)


def test_the_index_decides_between_two_copies(directory, weights):
    """A shard that was not replaced when others were still holds what the index places elsewhere."""
    names = ["a.bin", "b.bin"]
    shard(directory, weights, names)
    for name in names:
        index = json.loads((directory / f"{WEIGHTS}.index.json").read_text())["weight_map"]
        foreign = {key: torch.zeros_like(weights[key]) for key, file in index.items() if file != name}
        torch.save({key: weights[key] for key, file in index.items() if file == name} | foreign, directory / name)
    assert_same_weights(load_tiny(directory).network, load_tiny().network)


@pytest.mark.parametrize("name", [5, None, ["a.bin"]])
def test_index_without_names(directory, name):
    (directory / WEIGHTS).rename(directory / "a.bin")
    (directory / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    assert "is not an index of shards" in refusal(directory)


def test_index_that_points_elsewhere(directory):
    (directory / WEIGHTS).rename(directory.parent / "outside.bin")
    (directory / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "../outside.bin"}}))
    assert "outside.bin" in refusal(directory)


def test_single_safetensors(directory, weights):
    save_file({key: value.contiguous() for key, value in weights.items()}, directory / "model.safetensors")
    (directory / WEIGHTS).unlink()
    assert_same_weights(load_tiny(directory).network, load_tiny().network)


def test_old_torch_format(directory, weights):
    torch.save(weights, directory / WEIGHTS, _use_new_zipfile_serialization=False)
    assert_same_weights(load_tiny(directory).network, load_tiny().network)


@pytest.mark.parametrize("kept", [0, 3, 100, 20_000, 1_000_000])
@pytest.mark.parametrize("name", [WEIGHTS, "model.safetensors"])
def test_truncated(directory, weights, name, kept):
    if name != WEIGHTS:
        save_file({key: value.contiguous() for key, value in weights.items()}, directory / name)
    os.truncate(directory / name, kept)
    message = refusal(directory)
    assert name in message and "damaged or truncated" in message


class Code:
    """Unpickling this runs a command."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_with_code(directory, weights, tmp_path, zipped):
    proof = tmp_path / "ran"
    torch.save(weights | {"x": Code(proof)}, directory / WEIGHTS, _use_new_zipfile_serialization=zipped)
    message = refusal(directory)
    assert WEIGHTS in message and "holds code or objects besides tensors (posix.mkdir)" in message
    assert not proof.exists()


def test_plain_pickle_with_code(directory, tmp_path):
    proof = tmp_path / "ran"
    (directory / WEIGHTS).write_bytes(pickle.dumps(Code(proof)))
    with warnings.catch_warnings(action="ignore"):  # torch's, about the pickle protocol
        assert WEIGHTS in refusal(directory)
    assert not proof.exists()


def test_not_a_state_dict(directory, weights):
    for content in ([torch.zeros(1)], weights | {1: torch.zeros(1)}, {"state_dict": weights}):
        torch.save(content, directory / WEIGHTS)
        assert "is not a state dict" in refusal(directory)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers(directory, weights, dtype):
    torch.save(weights | {"lm_head.weight": weights["lm_head.weight"].to(dtype)}, directory / WEIGHTS)
    assert f"1 of wrong type: lm_head.weight is {dtype}, expected floating-point numbers" in refusal(directory)


def test_damage_that_torch_does_not_check(directory):
    """A flipped bit in the old format's table of storages."""
    path = directory / WEIGHTS
    torch.save({"a": torch.ones(2), "b": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    table = data.rindex(b"]q\x00")
    path.write_bytes(data[: table + 10] + b"0" + data[table + 11 :])
    assert "damaged or truncated" in refusal(directory)


def test_too_little_memory_is_not_damage(directory, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(MemoryBudgetError, match=r"not enough memory for this model: .* Load the model with"):
        Lisa.from_pretrained(directory, vision_tower=TINY / "clip_tiny", device="cpu", sam=SAM)


def test_config_that_cannot_be_read(directory):
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()
    assert "config.json cannot be read" in refusal(directory)


def test_all_misfits_in_one_error(directory, weights):
    del weights["model.norm.weight"]
    weights["model.extra.weight"] = torch.zeros(1)
    weights["lm_head.weight"] = weights["lm_head.weight"][:-1]
    torch.save(weights, directory / WEIGHTS)
    message = refusal(directory)
    assert "1 missing: model.norm.weight" in message
    assert "1 unexpected: model.extra.weight" in message
    assert "1 of wrong shape: lm_head.weight is (442, 40), expected (443, 40)" in message


@pytest.mark.parametrize("part", ["model.visual_model.", "model.visual_model.image_encoder.", "model.mm_projector."])
def test_missing_part(directory, weights, part):
    torch.save({key: value for key, value in weights.items() if not key.startswith(part)}, directory / WEIGHTS)
    assert "missing" in refusal(directory)


def test_unmerged_adapter(directory, weights):
    torch.save({f"base_model.model.{key}": value for key, value in weights.items()}, directory / WEIGHTS)
    assert "merge it first" in refusal(directory)


def test_no_weights(directory):
    (directory / WEIGHTS).unlink()
    assert "holds no weights" in refusal(directory)


def test_no_config(directory):
    (directory / "config.json").unlink()
    assert "config.json is missing" in refusal(directory)


def test_damaged_config(directory):
    (directory / "config.json").write_text("{")
    assert "not valid JSON" in refusal(directory)


def test_config_of_another_model(directory):
    (directory / "config.json").write_text('{"model_type": "llama", "hidden_size": 40}')
    assert "train_mask_decoder" in refusal(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "forty"),
        ("hidden_act", "gelu"),
        ("mm_vision_select_feature", "cls_patch"),
        ("mm_vision_select_layer", 2),
        ("mm_projector_type", "resampler"),
        ("conv_type", "vicuna"),
        ("seg_threshold", 2.0),
        ("seg_threshold", "0.5"),
        ("mask_query", {"phrase": "x"}),
        ("mask_query", ["{text}"]),
        ("mask_query", {"phrase": 3, "sentence": "{text}"}),
        ("hidden_size", 0),
        ("hidden_size", True),
        ("hidden_size", 45),  # heads of 9: no pairs for the rotary embedding
        ("num_attention_heads", 0),
        ("num_attention_heads", 3),
        ("num_key_value_heads", 3),
        ("num_key_value_heads", 0),
        ("num_hidden_layers", -1),
        ("max_position_embeddings", 0),
        ("max_position_embeddings", "2048"),
        ("rms_norm_eps", "1e-5"),
        ("rms_norm_eps", -1.0),
        ("rope_theta", 0),
        ("rope_scaling", "linear"),
        ("rope_scaling", {"factor": 2.0}),
        ("rope_scaling", {"type": "su", "factor": 2.0}),
        ("rope_scaling", {"type": "linear"}),
        ("rope_scaling", {"type": "linear", "factor": "two"}),
        ("tie_word_embeddings", "false"),
        ("mm_hidden_size", "40"),
        ("mm_vision_select_layer", "-2"),
        ("mm_vision_select_layer", -1.5),
        ("conv_type", ["llava_v1"]),
        ("sam", [1]),
        ("sam", {"image_sizes": 64}),
        ("sam", {"image_size": "64"}),
        ("sam", {"patch_size": 0}),
        ("sam", {"num_heads": 0}),
        ("sam", {"global_attn_indexes": 3}),
        ("sam", {"stem_channels": [8, "16", 16]}),
        ("sam", {"high_res_features": "no"}),
    ],
)
def test_unsupported_config(directory, key, value):
    change_config(directory, **{key: value})
    message = refusal(directory)
    assert "config.json" in message and key in message


def test_vision_tower_must_be_text(directory):
    change_config(directory, vision_tower=5)
    assert "config.json: vision_tower is 5; it must be text" in refusal(directory, vision_tower=None)


def test_whole_numbers_are_numbers(directory):
    change_config(directory, rms_norm_eps=1, rope_theta=10000)
    assert load_tiny(directory).network.config.rms_norm_eps == 1


def test_tied_head_that_is_another_matrix(directory, weights):
    """The weights were saved with a head of their own: the embeddings in its place would say something else."""
    change_config(directory, tie_word_embeddings=True)
    assert "lm_head.weight" in refusal(directory)
    torch.save(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}, directory / WEIGHTS)
    assert load_tiny(directory).network.config.tie_word_embeddings


def test_vocabulary_smaller_than_tokenizer(directory):
    change_config(directory, vocab_size=440)
    assert "the tokenizer has 443 tokens" in refusal(directory)


def test_no_image_tokens(directory):
    (directory / "added_tokens.json").write_text('{"[SEG]": 440}')
    assert "added_tokens.json lacks <im_start>" in refusal(directory)


def test_image_tokens_are_used_where_they_are(directory):
    change_config(directory, mm_use_im_start_end=False)
    assert load_tiny(directory).network.config.mm_use_im_start_end
    (directory / "added_tokens.json").write_text('{"[SEG]": 440}')
    assert not load_tiny(directory).network.config.mm_use_im_start_end


def test_vision_tower_not_found():
    for tower in (None, TINY / "nothing"):
        assert "vision_tower=PATH" in refusal(TINY / "lisa_hf", vision_tower=tower)


def test_vision_tower_without_weights(tmp_path):
    shutil.copy(TINY / "clip_tiny" / "config.json", tmp_path)
    assert "vision_tower=PATH" in refusal(TINY / "lisa_hf", vision_tower=tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        *({"num_attention_heads": 0}, {"num_attention_heads": 3}, {"patch_size": 0}, {"hidden_size": "x"}),
        *({"hidden_act": "none"}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_vision_tower_with_a_damaged_config(tmp_path, values):
    tower = Path(shutil.copytree(TINY / "clip_tiny", tmp_path / "tower"))
    if values is None:
        (tower / "config.json").write_text("[]")
    else:
        change_config(tower, **values)
    assert "vision_tower=PATH" in refusal(TINY / "lisa_hf", vision_tower=tower)


def test_vision_tower_without_a_config(tmp_path):
    tower = Path(shutil.copytree(TINY / "clip_tiny", tmp_path / "tower"))
    (tower / "config.json").unlink()
    assert "has no config.json" in refusal(TINY / "lisa_hf", vision_tower=tower)


@pytest.mark.parametrize("kept", [0, 5000])
def test_truncated_vision_tower(tmp_path, kept):
    tower = Path(shutil.copytree(TINY / "clip_tiny", tmp_path / "tower"))
    os.truncate(tower / WEIGHTS, kept)
    assert "vision_tower=PATH" in refusal(TINY / "lisa_hf", vision_tower=tower)


def test_vision_tower_with_code(tmp_path):
    tower = Path(shutil.copytree(TINY / "clip_tiny", tmp_path / "tower"))
    proof = tmp_path / "ran"
    torch.save(torch.load(tower / WEIGHTS, weights_only=True) | {"x": Code(proof)}, tower / WEIGHTS)
    message = refusal(TINY / "lisa_hf", vision_tower=tower)
    assert "hold code besides tensors" in message and "weights_only" not in message
    assert not proof.exists()


def test_vision_tower_of_another_kind(tmp_path):
    shutil.copy(TINY / "clip_tiny" / "config.json", tmp_path)
    save_file({"something": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert "is not a CLIP vision model" in refusal(TINY / "lisa_hf", vision_tower=tmp_path)


def test_vision_tower_of_another_width(tmp_path):
    config = CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    CLIPVisionModel(config).save_pretrained(tmp_path)
    assert "mm_hidden_size" in refusal(TINY / "lisa_hf", vision_tower=tmp_path)


@pytest.mark.parametrize("source", ["nobody/nothing", "no such/place/at all", "tabletop-that-is-not", "x" * 300])
def test_unknown_source(source):
    with pytest.raises(CheckpointError, match="neither a directory nor a packaged model"):
        find(source)


def test_packaged_models_are_found():
    for name in packaged_names():
        assert (find(name) / "config.json").is_file()


def test_llava_1_5_projector(directory, weights):
    """Its two layers are recognised with and without the key in config.json, and used."""
    linear = weights.pop("model.mm_projector.weight"), weights.pop("model.mm_projector.bias")
    weights["model.mm_projector.0.weight"], weights["model.mm_projector.0.bias"] = linear
    weights["model.mm_projector.2.weight"] = torch.eye(40)
    weights["model.mm_projector.2.bias"] = torch.zeros(40)
    torch.save(weights, directory / WEIGHTS)
    network = load_tiny(directory).network
    change_config(directory, mm_projector_type="mlp2x_gelu")
    assert_same_weights(load_tiny(directory).network, network)
    tokens = torch.randn(1, 16, 40)
    plain = load_tiny().network.model.mm_projector(tokens)
    torch.testing.assert_close(network.model.mm_projector(tokens), torch.nn.functional.gelu(plain))


def test_round_trip(tmp_path):
    network = load_tiny().network
    save_pretrained(network, TINY / "lisa_hf", tmp_path)
    again = load(tmp_path, vision_tower=TINY / "clip_tiny")  # config.json holds the rest
    assert again.network.config == network.config
    assert_same_weights(again.network, network)
    assert not list(tmp_path.glob(".*")), "temporary files are gone"


def small_config(**changes) -> LisaConfig:
    """A model whose visual tokens come from SAM's encoder, with a convolutional stem."""
    sam = SamConfig(
        image_size=64,
        embed_dim=16,
        depth=1,
        num_heads=2,
        global_attn_indexes=(0,),
        window_size=0,
        prompt_embed_dim=32,
        decoder_mlp_dim=32,
        decoder_heads=2,
        iou_head_hidden_dim=8,
        stem_channels=(8, 8, 16),
        stem_depths=(1, 1, 1),
        high_res_features=True,
    )
    config = LisaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=443,
        sam=sam,
        vision_tower=SHARED_TOWER,
        mm_hidden_size=64,
        conv_type="plain",
        mask_query={"phrase": "{text}", "sentence": "{text}"},
        seg_threshold=0.25,
    )
    return replace(config, **changes)


@pytest.mark.parametrize("tied", [False, True])
def test_round_trip_of_a_small_model(tmp_path, tied):
    torch.manual_seed(0)
    network = LisaNetwork(small_config(tie_word_embeddings=tied)).eval()
    save_pretrained(network, TINY / "lisa_hf", tmp_path)
    again = load(tmp_path).network
    assert again.config == network.config
    assert_same_weights(again, network)
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == tied
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        first, second = (m.visual_tokens(m.encode_image(pixels), None) for m in (network, again))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_shared_tokens_are_in_row_major_order():
    """Each is a cell of SAM's image embedding and that cell's position encoding."""
    network = LisaNetwork(small_config()).eval()
    with torch.inference_mode():
        features = network.encode_image(torch.randn(1, 3, 64, 64))
        position = network.sam.dense_position()
        cell = torch.cat([features.embedding[0, :, 1, 2], position[0, :, 1, 2]])
        tokens = network.visual_tokens(features, None)
        assert tokens.shape == (1, 16, 32)
        torch.testing.assert_close(tokens[0, 4 + 2], network.model.mm_projector(cell))


def test_storage_type(tmp_path):
    """Matrices shrink; what normalises or encodes positions does not."""
    save_pretrained(LisaNetwork(small_config()), TINY / "lisa_hf", tmp_path, dtype=torch.float16)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["lm_head.weight"].dtype == torch.float16
    assert stored["model.norm.weight"].dtype == torch.float32
    matrix = "model.visual_model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    assert stored[matrix].dtype == torch.float32
    assert {p.dtype for p in load(tmp_path).network.parameters()} == {torch.float32}


def test_interrupted_saving_keeps_the_old_files(tmp_path, monkeypatch):
    save_pretrained(LisaNetwork(small_config()), TINY / "lisa_hf", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def fail(weights, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("lisa_ros.model.saving.save_file", fail)
    with pytest.raises(CheckpointError, match="no space"):
        save_pretrained(LisaNetwork(small_config()), TINY / "lisa_hf", tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_size_of_the_published_13b():
    """The training log of LISA-13B counts 13,999,497,520 parameters, LoRA's and CLIP's among them."""
    clip_config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14
    )
    with torch.device("meta"):
        network = LisaNetwork(
            LisaConfig(
                hidden_size=5120,
                intermediate_size=13824,
                num_hidden_layers=40,
                num_attention_heads=40,
                vocab_size=32003,
                sam=SamConfig(),
            )
        )
        clip = CLIPVisionModel(clip_config)
    count = sum(p.numel() for module in (network, clip) for p in module.parameters())
    lora = 40 * 2 * 8 * (5120 + 5120)
    assert count + lora == 13_999_497_520


def test_shapes_of_the_published_7b():
    with torch.device("meta"):
        state = LisaNetwork(
            LisaConfig(
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=32,
                num_attention_heads=32,
                vocab_size=32004,
                sam=SamConfig(),
                mm_projector_type="mlp2x_gelu",
            )
        ).state_dict()
    expected = {
        "model.embed_tokens.weight": (32004, 4096),
        "lm_head.weight": (32004, 4096),
        "model.layers.31.mlp.down_proj.weight": (4096, 11008),
        "model.mm_projector.0.weight": (4096, 1024),
        "model.mm_projector.2.weight": (4096, 4096),
        "model.text_hidden_fcs.0.2.weight": (256, 4096),
        "model.visual_model.image_encoder.pos_embed": (1, 64, 64, 1280),
        "model.visual_model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, 128),
    }
    assert {key: tuple(state[key].shape) for key in expected} == expected


def test_sizes_that_a_configuration_lacks_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: `hidden_size` is None, it must be a whole number"):
        parse_config({"vocab_size": 8}, SamConfig(), tmp_path / "config.json", conv_type=None, vision_tower=None)
