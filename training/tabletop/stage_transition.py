"""What stage 3 begins with: the results of stages 1 and 2, with visual tokens of the image encoder; or a checkpoint."""

from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from lisa_ros.model.checkpoint import load
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.tokenizer import LisaTokenizer
from training.errors import TrainingError
from training.tabletop.language_losses import coverage, uncovered
from training.tabletop.questions import word_ids
from training.tabletop.scenes import scene_batches

FIRST_SCENE = 8_000_000
BATCHES, BATCH_SIZE = 20, 8
RIDGE = 1.0


def initialise_from_stages(
    network: LisaNetwork, helpers: dict[str, nn.Module], tokenizer: LisaTokenizer, run_dir: Path
) -> None:
    """Loads what stages 1 and 2 left into a network, and its projector's image half by linear regression.

    helpers: the training heads "dense" (of stage 1) and "pointing" (of stage 2). The projector maps the image embedding
    to what the cells show, found by ridge regression on new scenes, and that to the words' embeddings (and that of the
    background): both are linear.
    """
    vision, language = (_state(run_dir / stage / "last.pt") for stage in ("vision", "language"))
    network.load_state_dict(_below("network.", language))
    network.sam.load_state_dict(_below("sam.", vision))
    helpers["dense"].load_state_dict(_below("dense.", vision))
    helpers["pointing"].load_state_dict(_below("pointing.", language))
    words = network.model.embed_tokens.weight[torch.tensor(word_ids(tokenizer))]
    words = torch.cat([words, language["background"][None]])
    with torch.no_grad():
        slope, offset = _regress(network)
        width = network.config.sam.prompt_embed_dim
        network.model.mm_projector.weight[:, :width] = (slope @ words).T
        network.model.mm_projector.bias += offset @ words


def initialise_from_checkpoint(network: LisaNetwork, base: Path) -> None:
    """Loads the weights of a checkpoint of the recipe. Raises CheckpointError, or TrainingError for other sizes."""
    found = load(base).network
    if found.config != network.config:
        names = [field.name for field in fields(network.config)]
        differ = [name for name in names if getattr(found.config, name) != getattr(network.config, name)]
        raise TrainingError(f"{base} is of another model than `model` in the YAML: they differ in {', '.join(differ)}")
    network.load_state_dict(found.state_dict())


def _regress(network: LisaNetwork) -> tuple[Tensor, Tensor]:
    """Slope (C, words + 1) and offset of the best linear guess of coverage and background from the image embedding."""
    was_training = network.training
    network.eval()
    features, shown = [], []
    scenes = scene_batches(BATCH_SIZE, 0, 1, 0, FIRST_SCENE)
    for _, (_, batch) in zip(range(BATCHES), scenes, strict=False):
        features.append(network.sam.encode(batch.images).embedding.flatten(2).transpose(1, 2).flatten(0, 1))
        covered = coverage(batch)
        shown.append(torch.cat([covered, uncovered(covered)], dim=-1).flatten(0, 1))
    network.train(was_training)
    x, y = torch.cat(features), torch.cat(shown)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    penalty = RIDGE * torch.eye(x.shape[1])
    solution = torch.linalg.solve(x.T @ x + penalty, x.T @ y)
    return solution[:-1], solution[-1]


def _state(checkpoint: Path) -> dict[str, Tensor]:
    if not checkpoint.exists():
        stage = checkpoint.parent.name
        raise TrainingError(f"{checkpoint} is missing: run `python -m training {stage}` first")
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
