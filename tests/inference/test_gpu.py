"""The engine on a GPU."""

import numpy as np
import pytest
import torch

from lisa_ros.model.preprocess import sam_preprocess

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.fixture(scope="module", params=["fp32", "bf16", "fp16", "int8", "nf4"])
def gpu(request, load):
    """The tiny model on the GPU, in every number format."""
    if request.param in ("int8", "nf4"):
        pytest.importorskip("bitsandbytes")
    return load(device="cuda", precision=request.param)


def test_masks_are_those_of_the_cpu(lisa, gpu, images):
    expected = lisa.segment(lisa.encode(images[0]), "the red box").targets[0].logits
    logits = gpu.segment(gpu.encode(images[0]), "the red box").targets[0].logits
    tolerance = {"fp32": 0.9999, "bf16": 0.97, "fp16": 0.99, "int8": 0.97, "nf4": 0.8}[gpu.provenance.split()[1]]
    assert np.corrcoef(expected.ravel(), logits.ravel())[0, 1] > tolerance


def test_answers_and_memory(gpu, images):
    frame = gpu.encode(images[1])
    talk = gpu.conversation(frame)
    assert [talk.ask("What is it?", max_new_tokens=5).truncated for _ in range(2)]
    memory = gpu.memory()
    assert 0 < memory["weights"] <= memory["allocated"] <= memory["peak"]


def test_memory_that_runs_out(gpu, images, monkeypatch):
    """A real failed allocation; the next query is answered."""
    from lisa_ros.errors import MemoryBudgetError

    frame = gpu.encode(images[1])
    with monkeypatch.context() as patched:
        patched.setattr(gpu.network.sam, "decode", lambda *_: torch.empty(1 << 60, dtype=torch.uint8, device="cuda"))
        with pytest.raises(MemoryBudgetError):
            gpu.segment(frame, "the red box")
    assert gpu.segment(frame, "the red box").targets


def test_the_compiled_step_says_the_same(load, images):
    plain, compiled = (load(device="cuda", compile=compile) for compile in ("never", "always"))
    for question in ("What is it?", "Where is the dog? Please respond with segmentation mask."):
        answers = [one.chat(one.encode(images[1]), question, max_new_tokens=30).answer for one in (plain, compiled)]
        assert answers[0] == answers[1]


def test_segment_anything_beside_the_language_model_computes_the_same(gpu, images):
    network = gpu.network
    with torch.inference_mode():
        pixels = sam_preprocess(images[0], network.config.sam.image_size).to(gpu.device)
        expected = network.encode_image(pixels).embedding
    for _ in range(5):
        torch.testing.assert_close(gpu.encode(images[0]).features.embedding, expected)
