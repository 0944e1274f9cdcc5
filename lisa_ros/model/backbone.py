"""The parts of LLaVA around the vision tower: the language model and the projector of visual tokens."""

from torch import nn
from transformers import LlamaModel

from lisa_ros.model.config import LisaConfig


def build_language_model(config: LisaConfig) -> LlamaModel:
    """LLaMA without its head. Keys as in published checkpoints: `embed_tokens`, `layers`, `norm`."""
    return LlamaModel(config.llama())


def build_projector(config: LisaConfig) -> nn.Module:
    """Visual tokens (.., mm_hidden_size) -> (.., hidden_size): LLaVA-v1's linear layer or LLaVA-1.5's two-layer MLP."""
    first = nn.Linear(config.mm_hidden_size, config.hidden_size)
    if config.mm_projector_type == "linear":
        return first
    return nn.Sequential(first, nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size))


def build_text_projection(config: LisaConfig) -> nn.Sequential:
    """Hidden state (.., hidden_size) of a grounding token -> mask prompt (.., sam.prompt_embed_dim)."""
    return nn.Sequential(
        nn.Linear(config.hidden_size, config.hidden_size),
        nn.ReLU(),
        nn.Linear(config.hidden_size, config.sam.prompt_embed_dim),
    )
