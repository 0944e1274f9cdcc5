"""Number formats: what is packed, what never is, and that answers stay close."""

import sys

import numpy as np
import pytest
import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.precision import float_type, resolve_device

pytestmark = pytest.mark.unit
LIBRARIES = {"int8": "bitsandbytes", "nf4": "bitsandbytes", "int4": "torchao"}


@pytest.fixture(scope="module", params=["bf16", "fp16", "int8", "nf4"])
def coarse(request):
    """The tiny model in a coarser format than float32."""
    if library := LIBRARIES.get(request.param):
        pytest.importorskip(library)
    return request.getfixturevalue("load")(precision=request.param)


def test_masks_stay_close(lisa, coarse, images):
    tolerance = {"bf16": 0.97, "fp16": 0.995, "int8": 0.97, "nf4": 0.8}[coarse.provenance.split()[1]]
    exact = lisa.segment(lisa.encode(images[0]), "the red box").targets[0]
    target = coarse.segment(coarse.encode(images[0]), "the red box").targets[0]
    assert target.logits.dtype == np.float32
    assert np.corrcoef(exact.logits.ravel(), target.logits.ravel())[0, 1] > tolerance


def test_chat_runs(coarse, images):
    result = coarse.chat(coarse.encode(images[1]), "What is it?", max_new_tokens=5)
    assert result.answer or result.targets


def test_only_the_language_model_is_packed(coarse):
    precision = coarse.provenance.split()[1]
    packed = {"int8": {torch.int8}, "nf4": {torch.uint8}}.get(precision)
    floats = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    for name, parameter in coarse.network.named_parameters():
        if packed and name.startswith("model.layers.") and "_proj.weight" in name:
            assert parameter.dtype in packed, name
        elif any(part in name for part in ("text_hidden_fcs", "mask_decoder", "prompt_encoder", "neck")):
            assert parameter.dtype == torch.float32, name
        else:
            assert parameter.dtype == floats, name


def test_packed_weights_are_small(lisa, coarse):
    size = lisa.memory()["weights"]
    assert coarse.memory()["weights"] < size


@pytest.mark.parametrize(("precision", "library"), LIBRARIES.items())
def test_libraries_are_optional(load, monkeypatch, precision, library):
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=f"pip install {library}"):
        load(precision=precision)


@pytest.mark.parametrize("name", ["tpu9", "cuda:77", "cud", "meta", "mps", "xpu", None])
def test_unknown_device(name):
    with pytest.raises(ConfigurationError, match=str(name)):
        resolve_device(name)


def test_auto_device():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_unknown_precision():
    with pytest.raises(ConfigurationError, match=r"fp8.*fp32, bf16, fp16, int8, int4, nf4"):
        float_type("fp8", torch.device("cpu"))
