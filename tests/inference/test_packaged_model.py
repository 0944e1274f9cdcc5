"""Number formats on the packaged model, whose masks mean something: bf16 on the CPU, and int4 weight by weight."""

import numpy as np
import pytest
import torch
from torch import nn

from lisa_ros import Lisa
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.predictors import model_digest
from lisa_ros.inference.generation import next_logits, prefill
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit
GROUP = 64  # the largest that divides the widths 256 and 704


@pytest.fixture(scope="module")
def scene():
    return generate_scene(4, 240, 320)


@pytest.fixture(scope="module")
def exact():
    return Lisa.from_pretrained("tabletop", device="cpu")


@pytest.fixture(scope="module")
def int4():
    pytest.importorskip("torchao")
    return Lisa.from_pretrained("tabletop", device="cpu", precision="int4")


def rounded(weight):
    """A weight (out, in) whose groups have 16 values, evenly from their least to their largest."""
    groups = weight.unflatten(1, (-1, GROUP))
    least, largest = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step = ((largest - least) / 15).clamp(min=1e-6)
    return (((groups - least) / step).round() * step + least).flatten(1)


def mask_of(engine, scene):
    thing = max(scene.objects, key=lambda seen: seen.pixels)
    (target,) = engine.segment(engine.encode(scene.image), f"the {thing.category}").targets
    return target.mask


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def test_an_encoder_in_bf16_on_the_cpu_finds_the_same_masks(exact, scene):
    """The blocks of Segment Anything too, which stay float32 in this model: a published one has none of its stem."""
    coarse = Lisa.from_pretrained("tabletop", device="cpu", precision="bf16")
    encoder = coarse.network.sam.image_encoder
    encoder.blocks.bfloat16()
    encoder.pos_embed.data = encoder.pos_embed.data.bfloat16()
    encoder.patch_embed.register_forward_pre_hook(lambda _, images: images[0].float())
    encoder.patch_embed.register_forward_hook(lambda _, images, output: (output[0].bfloat16(), output[1]))
    mask = mask_of(exact, scene)
    assert mask.sum() > 500 and overlap(mask, mask_of(coarse, scene)) >= 0.99


def test_int4_finds_nearly_the_same_masks(exact, int4, scene):
    assert overlap(mask_of(exact, scene), mask_of(int4, scene)) >= 0.9


def test_int4_multiplies_the_rounded_weights(exact, int4):
    """In every linear layer of the language model, and nowhere else."""
    packed = dict(int4.network.named_modules())
    for name, layer in exact.network.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        weight = rounded(layer.weight) if name.startswith("model.layers.") else layer.weight
        x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(0))
        x = x.to(layer.weight.dtype)
        expected = nn.functional.linear(x, weight, layer.bias)
        with torch.inference_mode():
            torch.testing.assert_close(packed[name](x), expected, atol=1e-4, rtol=1e-4, msg=name)


def test_logits_of_int4_are_those_of_the_rounded_model(int4, scene):
    model = Lisa.from_pretrained("tabletop", device="cpu")
    frame = int4.encode(scene.image)
    ids = int4.model.prompt_ids(frame, [(int4.model.first_question("Where is the mug?"), None)])
    logits = {}
    for name in ("exact", "rounded", "int4"):
        network = int4.network if name == "int4" else model.network
        logits[name] = next_logits(network, prefill(network, ids, frame.visual)[1])
        for layer in model.network.model.layers.modules() if name == "exact" else ():
            if isinstance(layer, nn.Linear):
                layer.weight.data = rounded(layer.weight)
    torch.testing.assert_close(logits["int4"], logits["rounded"], atol=2e-3, rtol=1e-3)
    error = (logits["int4"] - logits["exact"]).norm() / logits["exact"].norm()
    assert 1e-4 < error < 0.2, "the format's rounding, and no more"


def test_int4_is_told_apart_and_is_small(exact, int4):
    linear = sum(layer.weight.numel() for layer in exact.network.model.layers.modules() if isinstance(layer, nn.Linear))
    saved = exact.memory()["weights"] - int4.memory()["weights"]
    kept = linear * (0.5 + 2 * 4 / GROUP)  # scale and zero are float32 on the CPU
    stored = next(iter(exact.network.model.layers.parameters())).element_size()
    assert saved == pytest.approx(linear * stored - kept, rel=1e-3)
    assert model_digest(int4) != model_digest(exact)
    assert int4.provenance.split()[1] == "int4"


def test_widths_that_int4_cannot_pack(load):
    pytest.importorskip("torchao")
    with pytest.raises(ConfigurationError, match=r"multiple of 32; this model's are 40, 72 wide. Choose int8 or nf4"):
        load(precision="int4")


def test_chat_runs_in_int4(int4, scene):
    result = int4.chat(int4.encode(scene.image), "Where is the mug?", max_new_tokens=6)
    assert result.answer and np.isfinite(result.seconds["total"])
