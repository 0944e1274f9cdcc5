"""The benchmark of a training step: its kinds compute the same, and its numbers add up."""

import contextlib
import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
training_step = pytest.importorskip("training_step")

pytestmark = pytest.mark.unit


def test_the_steps_agree_and_the_stages_are_the_whole(tmp_path, capsys):
    path = tmp_path / "step.json"
    assert training_step.main(["--size", "tiny", "--repeats", "1", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert set(result["kinds"]) == {"official", "ours", "ours, cached"}
    assert 0 <= result["largest_difference_of_losses"] <= 1e-4
    for part in result["kinds"].values():
        assert set(part["seconds"]) == set(part["peak_gb"]) == set(training_step.STAGES)
        assert part["seconds_in_all"] == pytest.approx(sum(part["seconds"].values()))
        assert part["samples_per_second"] == pytest.approx(2 / part["seconds_in_all"])
        assert all(0.1 < value < 24 for value in part["peak_gb"].values())
    official, ours, cached = result["kinds"].values()
    assert cached["seconds"]["SAM encoder"] < ours["seconds"]["SAM encoder"], "the encoder is skipped"
    assert result["speed_up"]["ours"] == pytest.approx(official["seconds_in_all"] / ours["seconds_in_all"])
    assert "speed-up over the official step" in capsys.readouterr().out


def test_the_measured_steps_are_the_loops(tmp_path):
    """`ours` restates LisaObjective.forward and `official` the published one: losses and all gradients are the same."""
    torch.manual_seed(0)
    objective = training_step.build("tiny", torch.device("cpu"), torch.float32)
    batch = training_step.micro_batches(objective.network, training_step.Pictures(tmp_path, 2), None)[0].batch

    def loop(*_):
        losses = objective(batch)
        return losses.ce, losses.loss - losses.ce  # the first is detached: all gradients are the second's

    expected = losses_and_gradients(loop, objective, batch)
    for forward, close in ((training_step.ours, 1e-6), (training_step.official, training_step.CLOSE[torch.float32])):
        losses, gradients = losses_and_gradients(forward, objective, batch)
        torch.testing.assert_close(losses, expected[0], rtol=close, atol=0)
        for name, gradient in expected[1].items():  # where the official step gives none, ours gives zero
            error = (gradients.get(name, 0) - gradient).norm()
            assert error <= 10 * close * gradient.norm() + 1e-7, name


def losses_and_gradients(forward, objective, batch):
    objective.zero_grad()
    torch.manual_seed(1)  # of LoRA's dropout
    losses = forward(objective, batch, lambda name: contextlib.nullcontext())
    sum(losses).backward()
    gradients = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    return torch.stack([value.detach().float() for value in losses]), gradients


def test_steps_that_do_not_compute_the_same_are_refused():
    assert training_step.check({"official": (2.0, 1.0), "ours": (2.0, 1.00005)}, 1e-4) == pytest.approx(5e-5)
    for wrong in ((2.0, 1.0002), (2.001, 1.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="not the same step"):
            training_step.check({"official": (2.0, 1.0), "ours": wrong}, 1e-4)


def test_the_published_size_is_lisa_7b():
    objective = training_step.build("7b", torch.device("meta"), torch.bfloat16)
    network, count = objective.network, lambda parts: sum(p.numel() for p in parts)
    llama = [network.lm_head, network.model.embed_tokens, network.model.layers, network.model.norm]
    adapters = 32 * 2 * 2 * 8 * 4096  # layers, q and v, A and B, rank, width
    assert sum(count(part.parameters()) for part in llama) == pytest.approx(6.738e9 + adapters, rel=1e-3)
    assert count(network.sam.image_encoder.parameters()) == pytest.approx(637e6, rel=0.01)
    assert count(network.vision_tower.parameters()) == pytest.approx(303e6, rel=0.06)
    assert {p.dtype for p in network.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert {p.dtype for p in network.parameters() if p.requires_grad} == {torch.float32}
    assert count(p for name, p in network.named_parameters() if ".lora_" in name) == adapters


def test_the_published_size_needs_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(training_step.torch.cuda, "is_available", lambda: False)
    assert training_step.main(["--size", "7b"]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err
