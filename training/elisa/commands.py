"""What the command line does for the recipe `elisa`."""

from dataclasses import asdict

import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.predictors import weights_digest
from lisa_ros.model.elisa.alphaclip import load_alphaclip
from lisa_ros.model.elisa.checkpoint import elisa_proposals
from lisa_ros.model.proposals import CandidateProvider
from lisa_ros.model.sam import load_sam
from training.elisa.config import ElisaTrainConfig
from training.elisa.preparation import prepare_split


def prepare(config: ElisaTrainConfig, split: str) -> None:
    """Writes the records of a split; what is there already is kept. Raises LisaError."""
    if config.model.sam_checkpoint is None:
        raise ConfigurationError("prepare needs model.sam_checkpoint, the file of Segment Anything")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    letterbox = config.model.style.letterbox
    sam = load_sam(config.model.sam_checkpoint).to(device)
    provider = CandidateProvider(sam, elisa_proposals(config.run_dir, square=not letterbox))
    tower = load_alphaclip(config.model.alphaclip).to(device)
    out = config.data.records / f"{split}.jsonl"
    settings = {"sam": weights_digest(sam), "alphaclip": weights_digest(tower), **asdict(provider.options)}
    del settings["points_per_batch"]  # changes nothing
    added = prepare_split(config.data.root, split, out, tower, provider.propose, letterbox=letterbox, settings=settings)
    print(f"{out}: {added} records added")
