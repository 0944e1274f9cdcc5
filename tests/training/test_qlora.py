"""QLoRA on the CPU: a 4-bit base that stays as it is, adapters that learn, and a merge into the unquantised base."""

import pytest
import torch
from golden_training import TINY
from small_run import losses, reset_accelerate, train, train_config

from lisa_ros.errors import ConfigurationError
from training.commands import merge
from training.loop.trainer import Trainer
from training.model.lora import merged_weights
from training.model.network import build

pytestmark = pytest.mark.unit
pytest.importorskip("bitsandbytes")


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    reset_accelerate()


class SameItem:
    """One item for ever, so that its loss has to fall."""

    def __getitem__(self, index):
        return TINY.items("T1")[0]


def test_four_bit_base(tmp_path):
    run = train_config(tmp_path, quantization="nf4", lr=3e-3)
    trainer = Trainer(run, SameItem(), {})
    network = trainer.accelerator.unwrap_model(trainer.objective).network
    packed = {name: p.clone() for name, p in network.named_parameters() if p.dtype == torch.uint8}
    assert len(packed) == 7 * TINY.meta["llama"]["num_hidden_layers"]
    before = {name: p.clone() for name, p in network.named_parameters() if ".lora_" in name}
    trainer.train()
    after = dict(network.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in packed.items())
    assert all(not torch.equal(after[name], value) for name, value in before.items())
    found = losses(tmp_path)
    assert found[-1] < found[0]
    with pytest.raises(ConfigurationError, match="a quantised network cannot be merged"):
        merged_weights(network, torch.bfloat16)


def test_resume_and_merge(tmp_path):
    run = train_config(tmp_path / "run", quantization="nf4", steps=4)
    train(run, SameItem())
    reset_accelerate()
    train(train_config(tmp_path / "run", quantization="nf4", steps=6), SameItem())
    merge(run, None, tmp_path / "lisa")
    from lisa_ros.model.checkpoint import load

    merged = load(tmp_path / "lisa", vision_tower=TINY.directory / "clip_tiny").network.state_dict()
    base = build(run, torch.device("cpu"), quantized=False).network.state_dict()
    assert torch.equal(merged["model.layers.0.mlp.up_proj.weight"], base["model.layers.0.mlp.up_proj.weight"])
    assert not torch.equal(
        merged["model.layers.0.self_attn.q_proj.weight"], base["model.layers.0.self_attn.q_proj.base_layer.weight"]
    )
