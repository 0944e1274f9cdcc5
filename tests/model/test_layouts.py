"""Several sets of weights in one folder, folders of another layout, and files that only seem to be there."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_files import TINY, WEIGHTS, change_json, copy_of, load_tiny, refusal, stored_weights
from safetensors.torch import save_file

from lisa_ros.errors import CheckpointError
from lisa_ros.model.checkpoint import find
from lisa_ros.model.saving import save_pretrained
from lisa_ros.model.weights import differences, read_weights

pytestmark = pytest.mark.unit
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13476839424\n"
SAFE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def directory(tmp_path):
    return copy_of("lisa_hf", tmp_path)


def save_safe(directory, weights, name=SAFE) -> None:
    save_file({key: value.contiguous() for key, value in weights.items()}, directory / name)


def save_shards(directory, weights, names=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
    keys = sorted(weights)
    parts = {name: keys[number :: len(names)] for number, name in enumerate(names)}
    for name, part in parts.items():
        save_safe(directory, {key: weights[key] for key in part}, name)
    placed = {key: name for name, part in parts.items() for key in part}
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))


def test_two_layouts_of_the_same_weights_are_one_checkpoint(directory):
    weights = {key: value for key, value in stored_weights().items() if not key.endswith("inv_freq")}
    save_safe(directory, weights)
    save_shards(directory, weights)
    assert not differences(read_weights(directory), stored_weights())
    load_tiny(directory)


@pytest.mark.parametrize("save", [save_safe, save_shards])
@pytest.mark.parametrize(
    "change",
    [
        lambda value: value + 1,
        lambda value: value.half(),
        lambda value: value[:-1],
        lambda value: value.clone().index_fill_(0, torch.tensor([0]), float("nan")),
    ],
    ids=["value", "type", "shape", "nan"],
)
def test_two_layouts_that_differ_are_refused(directory, save, change):
    weights = stored_weights()
    save(directory, weights | {"model.norm.weight": change(weights["model.norm.weight"])})
    message = refusal(directory)
    assert "two sets of weights that differ" in message and "model.norm.weight" in message
    assert WEIGHTS in message and ("index.json" in message or SAFE in message) and "Move the older one" in message


def test_a_vision_tower_with_two_layouts(tmp_path):
    tower = copy_of("clip_tiny", tmp_path)
    weights = {key: value for key, value in stored_weights(tower).items() if not key.endswith("position_ids")}
    save_file(weights, tower / SAFE, metadata={"format": "pt"})
    load_tiny(vision_tower=tower)
    key = next(iter(weights))
    save_file(weights | {key: weights[key] + 1}, tower / SAFE, metadata={"format": "pt"})
    message = refusal(TINY / "lisa_hf", vision_tower=tower)
    assert f"{tower} holds two sets of weights that differ" in message and key in message


def test_a_weight_that_one_layout_lacks_is_a_difference(directory):
    weights = stored_weights()
    del weights["model.norm.weight"]
    save_safe(directory, weights)
    assert "in 1 weights, model.norm.weight" in refusal(directory)


def test_what_libraries_leave_out_is_no_difference():
    weights = {"model.embed_tokens.weight": torch.ones(2, 2), "lm_head.weight": torch.ones(2, 2)}
    with_more = weights | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(1)}
    del weights["lm_head.weight"]
    assert differences(weights, with_more) == differences(with_more, weights) == []
    assert differences(weights, with_more | {"lm_head.weight": torch.zeros(2, 2)}) == ["lm_head.weight"]


def test_an_index_alone_is_no_layout(directory):
    """A partial download has all the JSON files, and the shards of one layout."""
    save_shards(directory, stored_weights())
    for path in directory.glob("model-*.safetensors"):
        path.unlink()
    load_tiny(directory)
    (directory / WEIGHTS).unlink()
    assert "names 2 shards, 2 are missing" in refusal(directory)


def test_a_layout_of_which_a_shard_is_missing_is_refused_beside_a_whole_one(directory):
    save_shards(directory, stored_weights())
    (directory / "model-00002-of-00002.safetensors").unlink()
    assert "names 2 shards, 1 are missing" in refusal(directory)


@pytest.mark.parametrize("name", ["model-00003-of-00003.safetensors", "pytorch_model-00001-of-00002.bin"])
def test_shards_of_no_index_are_refused(directory, name):
    if name.endswith(".bin"):
        torch.save({}, directory / name)
    else:
        save_safe(directory, {"lm_head.weight": torch.zeros(1)}, name)
    message = refusal(directory)
    assert name in message and "no index names" in message


@pytest.mark.parametrize("name", [WEIGHTS, SAFE, INDEX, "tokenizer.model", "config.json", "added_tokens.json"])
def test_pointers_of_git_lfs_are_told(directory, name):
    if name != WEIGHTS:
        (directory / WEIGHTS).unlink()
    (directory / name).write_text(POINTER)
    message = refusal(directory)
    assert f"{directory / name} is a pointer of Git LFS" in message and "git lfs pull" in message


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "preprocessor_config.json"])
def test_a_pointer_in_the_vision_tower_is_told(tmp_path, name):
    tower = copy_of("clip_tiny", tmp_path)
    (tower / name).write_text(POINTER)
    message = refusal(TINY / "lisa_hf", vision_tower=tower)
    assert f"{tower / name} is a pointer of Git LFS" in message


def test_a_checkpoint_with_the_newer_tokenizer_file_alone(directory):
    (directory / "tokenizer.model").unlink()
    (directory / "tokenizer.json").write_text("{}")
    message = refusal(directory)
    assert "tokenizer.model is missing" in message and "Copy tokenizer.model from" in message and "llava" in message


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "non_lora_trainables.bin"])
def test_an_adapter_is_told_with_and_without_weights_beside_it(directory, name):
    (directory / name).write_bytes(b"{}")
    assert f"holds an adapter ({name})" in refusal(directory)
    for other in (WEIGHTS, "config.json"):
        (directory / other).unlink()
    assert f"holds an adapter ({name})" in refusal(directory)


def test_a_lisa_v0_is_told(directory):
    change_json(directory / "config.json", remove=("train_mask_decoder", "out_dim"))
    (directory / "pytorch_model-visual_model.bin").write_bytes(b"")
    message = refusal(directory)
    assert "LISA v0" in message and "xinlai/LISA-13B-llama2-v1" in message


def test_a_llava_of_transformers_is_told(directory):
    (directory / "config.json").write_text(
        json.dumps({"model_type": "llava", "text_config": {"model_type": "llama"}, "vision_config": {}})
    )
    message = refusal(directory)
    assert "layout of transformers" in message and "liuhaotian/llava-v1.5-7b" in message


def test_the_state_of_a_deepspeed_run_is_told(tmp_path):
    (tmp_path / "latest").write_text("global_step500")
    (tmp_path / "global_step500").mkdir()
    assert "zero_to_fp32.py" in refusal(tmp_path)


def test_a_home_directory_is_found_without_a_shell(tmp_path, monkeypatch):
    copy_of("lisa_hf", tmp_path)
    shutil.copytree(TINY / "clip_tiny", tmp_path / "tower")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/lisa_hf") == tmp_path / "lisa_hf"
    assert find(Path("~/lisa_hf")) == tmp_path / "lisa_hf"
    load_tiny("~/lisa_hf", vision_tower="~/tower")
    with pytest.raises(CheckpointError, match=r"~nobody-of-this-name.*give the whole path"):
        find("~nobody-of-this-name/lisa")


@pytest.mark.parametrize(
    ("proxy", "words"),
    [("socks5://user:secret@127.0.0.1:9", "socksio"), ("socks4://127.0.0.1:9", "only http://, https:// and socks5://")],
)
def test_a_proxy_that_cannot_be_used_is_told(monkeypatch, proxy, words):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setattr("lisa_ros.model.hub.find_spec", lambda name: None)

    def fail(*_, **__):  # as httpx does, before it sends anything
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr("lisa_ros.model.hub.snapshot_download", fail)
    with pytest.raises(CheckpointError, match="neither a directory") as caught:
        find("nobody/nothing")
    assert "HTTPS_PROXY" not in str(caught.value)  # no proxy is asked: HF_HUB_OFFLINE is set for these tests

    def not_found(*_, **__):
        raise OSError("Can't load the configuration of 'nobody/nothing'")

    monkeypatch.setattr("lisa_ros.model.vision.CLIPVisionConfig.get_config_dict", not_found)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for give in (lambda: find("nobody/nothing"), lambda: load_tiny(vision_tower="nobody/nothing")):
        with pytest.raises(CheckpointError) as caught:
            give()
        assert "HTTPS_PROXY" in str(caught.value) and words in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("source", ["/no/such/folder", "./models/lisa", "models/lisa/7b", "models\\lisa"])
def test_a_path_that_is_not_there_is_told_as_one(source):
    with pytest.raises(CheckpointError, match="it is a path, and no folder of that name is there"):
        find(source)


def test_an_address_of_the_hub_that_is_none_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "mirror.example")
    with pytest.raises(CheckpointError, match=r"HF_ENDPOINT is .mirror\.example.; it must begin with https://"):
        find("nobody/nothing")


def test_a_user_without_a_home_is_told(monkeypatch):
    """Else a folder of the name ~ is made where the program was started."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    for give in (lambda: find("nobody/nothing"), lambda: load_tiny(vision_tower="nobody/nothing")):
        with pytest.raises(CheckpointError, match="no home directory; set the variable HF_HOME"):
            give()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CheckpointError, match=r"HF_HOME|neither a directory"):
        find("nobody/nothing")


def test_a_checkpoint_is_not_written_beside_weights_in_another_layout(directory, tmp_path):
    """It could not be loaded again."""
    network = load_tiny().network
    with pytest.raises(CheckpointError, match=r"holds other weights, pytorch_model\.bin"):
        save_pretrained(network, TINY / "lisa_hf", directory)
    save_pretrained(network, TINY / "lisa_hf", tmp_path / "new")
    save_pretrained(network, TINY / "lisa_hf", tmp_path / "new")  # over what it wrote before
