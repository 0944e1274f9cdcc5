"""A checkpoint's weights are cast, packed and moved part by part, with the values that they have when cast at once."""

import json
from pathlib import Path

import pytest
import torch

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError
from lisa_ros.inference import precision
from lisa_ros.model.checkpoint import load
from lisa_ros.model.saving import save_checkpoint

pytestmark = pytest.mark.unit
TINY = Path(__file__).parents[1] / "golden" / "c_tiny"
CPU = torch.device("cpu")
OPTIONS = {"vision_tower": TINY / "clip_tiny", "sam": json.loads((TINY / "oracle_meta.json").read_text())["sam"]}


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_are_those_of_casting_at_once(name, dtype):
    expected = load(TINY / "lisa_hf", dtype=dtype, **OPTIONS).network
    placed = Lisa.from_pretrained(TINY / "lisa_hf", device="cpu", precision=name, **OPTIONS).network
    parts = dict(placed.named_parameters()) | dict(placed.named_buffers())
    for key, value in (*expected.named_parameters(), *expected.named_buffers()):
        assert parts[key].dtype == value.dtype and torch.equal(parts[key], value), key


def test_one_layer_is_cast_before_it_is_packed_and_the_next_one_after(monkeypatch):
    """So a host holds no second copy of the whole, whatever type the files have."""
    checkpoint, events = load(TINY / "lisa_hf", dtype=None, **OPTIONS), []
    network = checkpoint.network
    layers = {id(layer): number for number, layer in enumerate(network.model.layers)}

    def cast(key, value):
        if key.startswith("model.layers."):
            events.append(int(key.split(".")[2]))
        return value.to(torch.bfloat16) if value.is_floating_point() else value

    def pack(layer):
        events.append(f"packed {layers[id(layer)]}")
        assert all(weight.dtype == torch.bfloat16 for weight in layer.parameters())

    monkeypatch.setattr(precision, "_packing", lambda *_: pack)
    precision.place(network, "nf4", torch.bfloat16, CPU, cast)
    order = list(dict.fromkeys(events))
    assert order == [event for number in sorted(layers.values()) for event in (number, f"packed {number}")]
    assert network.lm_head.weight.dtype == torch.bfloat16


def test_weights_that_float16_does_not_hold_are_refused(tmp_path):
    checkpoint = load(TINY / "lisa_hf", **OPTIONS)
    with torch.no_grad():
        checkpoint.network.model.layers[1].mlp.down_proj.weight[0, 0] = 1e6
    save_checkpoint(checkpoint, tmp_path)
    with pytest.raises(CheckpointError, match=r"too large for float16; load the checkpoint with .* bf16 or fp32"):
        Lisa.from_pretrained(tmp_path, device="cpu", precision="fp16", **OPTIONS)
