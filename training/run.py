"""The commands of the lora recipe: train, validate, merge."""

import json
import sys
from pathlib import Path

import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import write_checkpoint
from lisa_ros.model.weights import read_weight_file
from training.checkpointing import BEST, LAST, read_state
from training.devices import check_names, copy_weights, make_accelerator
from training.errors import TrainingError
from training.lora import PREFIX, load_unmerged, merged_weights
from training.network import build, collator_of, trained_weights
from training.objective import LisaObjective
from training.settings import Settings
from training.sources import open_items, open_validation
from training.trainer import Trainer
from training.validation import scores, validate

_MERGED_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def train(settings: Settings) -> None:
    """Runs or resumes the run; its state is in `run_dir/last.pt`, the best one in `best.pt`."""
    trainer = Trainer(
        settings,
        open_items(settings.data, settings.seed),
        open_validation(settings.validation.data, settings.data.root),
    )
    progress = trainer.train()
    if trainer.main and progress.step > settings.batch.steps:
        print(f"{settings.run_dir} has {progress.step} steps already, batch.steps is {settings.batch.steps}")
    elif trainer.main and progress.step == settings.batch.steps:
        best = "" if progress.best_giou is None else f", best gIoU {progress.best_giou:.4f}"
        print(f"{progress.step} steps, {progress.skipped} items left out{best}; {settings.run_dir}")
    trainer.accelerator.end_training()


def validate_run(settings: Settings, checkpoint: Path | None) -> dict[str, dict[str, float]]:
    """Scores a checkpoint of the run (the best one, else the last; "base" scores what the run begins with)."""
    if not settings.validation.data:
        raise ConfigurationError("validation.data names no set")
    accelerator = make_accelerator(settings)
    base = build(settings, accelerator.device)
    _load(base.network, checkpoint, settings.run_dir)
    objective = LisaObjective(base.network).to(accelerator.device)
    objective = accelerator.prepare(objective)
    collator = collator_of(base, settings, base.network.config.max_position_embeddings)
    found = {}
    for name, samples in open_validation(settings.validation.data, settings.data.root).items():
        scored = validate(
            objective,
            samples,
            collator,
            base.network.config,
            accelerator,
            max_images=settings.validation.max_images,
            pictures=settings.run_dir / "samples" / name.replace("|", "_") / "validate",
            picture_count=settings.validation.pictures,
            skip_limit=settings.data.skip_limit,
        )
        found[name] = scores(scored.metrics) | ({"left_out": len(scored.left_out)} if scored.left_out else {})
        if accelerator.is_main_process:
            for reason in scored.left_out:
                print(f"{name}: left out: {reason}", file=sys.stderr)
    if accelerator.is_main_process:
        print(json.dumps(found, indent=2))
    accelerator.end_training()
    return found


def merge(settings: Settings, checkpoint: Path | None, out: Path) -> None:
    """Writes a checkpoint directory in the published layout, that `Lisa.from_pretrained` loads.

    checkpoint: of this run, or an un-merged official file (`pytorch_model.bin` of zero_to_fp32.py); None: the best
    one, else the last; "base": what the run begins with.
    """
    base = build(settings, torch.device("cpu"), quantized=False)
    source = _load(base.network, checkpoint, settings.run_dir)
    weights = merged_weights(base.network, _MERGED_DTYPES[settings.devices.precision])
    write_checkpoint(base.network.config, weights, base.directory, out)
    print(f"{source} merged into {out}")


def default_checkpoint(run_dir: Path) -> Path:
    """The best checkpoint of a run, else its last. Raises TrainingError if it has none."""
    for name in (BEST, LAST):
        if (run_dir / name).exists():
            return run_dir / name
    raise TrainingError(f"{run_dir} has no checkpoint ({BEST}, {LAST}); train first, or name one with --checkpoint")


def _load(network: torch.nn.Module, checkpoint: Path | None, run_dir: Path) -> Path:
    """Loads a checkpoint as the command line names it; returns which one."""
    source = checkpoint or default_checkpoint(run_dir)
    if str(source) != "base":
        load_trained(network, source)
    return source


def load_trained(network: torch.nn.Module, path: Path) -> None:
    """Puts a checkpoint of this code, or an un-merged official one, into a network with adapters."""
    if path.suffix == ".pt":
        weights = read_state(path).weights
        trained = trained_weights(network)
        check_names(trained, weights)
        copy_weights(trained, weights)
        return
    weights = read_weight_file(path)
    if not any(key.startswith(PREFIX) for key in weights):
        raise TrainingError(f"{path} is no checkpoint of a run and no un-merged LISA ({PREFIX}...)")
    load_unmerged(network, weights, path)
