"""Muon: what it is for, what it does to a matrix, and that it trains and resumes."""

import pytest
import torch

from training.tabletop.optimizer import Muon, is_hidden_matrix, optimizers_for, orthogonalised
from training.tabletop.precision import fast_dtype

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("shape", [(64, 64), (32, 200), (200, 32)])
def test_update_has_the_singular_vectors_of_the_gradient_and_values_near_one(shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    mixed = u.T @ orthogonalised(gradient, steps=8) @ v.T
    off = mixed - torch.diag(mixed.diagonal())
    exact = fast_dtype(torch.device("cpu")) == torch.float32
    assert off.abs().max() < (1e-3 if exact else 0.05)
    assert ((mixed.diagonal() > 0.6) & (mixed.diagonal() < 1.3)).all()


def test_hidden_matrices_are_those_between_hidden_layers():
    hidden = torch.zeros(64, 64)
    assert is_hidden_matrix("network.model.layers.3.mlp.up_proj.weight", hidden)
    assert is_hidden_matrix("sam.image_encoder.neck.2.weight", torch.zeros(64, 64, 3, 3))
    assert not is_hidden_matrix("sam.image_encoder.pos_embed", torch.zeros(1, 64, 64, 64))
    assert not is_hidden_matrix("sam.image_encoder.stem.0.weight", torch.zeros(48, 3, 3, 3))
    assert not is_hidden_matrix("network.model.embed_tokens.weight", hidden)
    assert not is_hidden_matrix("network.model.layers.3.mlp.up_proj.bias", torch.zeros(64))


class Layered(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList([torch.nn.Linear(32, 32) for _ in range(2)])
        self.head = torch.nn.Linear(32, 4)

    def forward(self, x):
        for layer in self.model.layers:
            x = torch.relu(layer(x))
        return self.head(x)


def test_frozen_parts_are_left_out_and_scales_reach_the_groups():
    model = Layered()
    muon, adam = optimizers_for(model, 0.1, 0.02, lambda name: 0.0 if "layers.0" in name else 0.5)
    assert isinstance(muon, Muon) and [len(g["params"]) for g in muon.param_groups] == [1]
    assert all(group["peak"] == 0.05 for optimizer in (muon, adam) for group in optimizer.param_groups)
    assert not model.model.layers[0].weight.requires_grad
    decays = {group["weight_decay"] for group in adam.param_groups}
    assert decays == {0.0, 0.02}


def test_it_trains():
    torch.manual_seed(0)
    model, target = Layered(), Layered()
    x = torch.randn(256, 32)
    optimizers = optimizers_for(model, 0.02, 0.0, lambda name: 1.0)
    losses = []
    for _ in range(60):
        loss = (model(x) - target(x).detach()).square().mean()
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
