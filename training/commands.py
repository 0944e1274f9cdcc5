"""The commands of the lora recipe: train, validate, merge."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import find
from lisa_ros.model.saving import SAVED_WEIGHTS, write_checkpoint
from lisa_ros.model.unmerged import PREFIX
from lisa_ros.model.weights import differences, read_weight_file, weight_files
from lisa_ros.resources import provenance
from training.config.train_config import TrainConfig
from training.data.sources import open_items, open_validation, samples_lines
from training.errors import TrainingError
from training.loop.devices import check_names, copy_weights, make_accelerator
from training.loop.run_directory import BEST, LAST, RunDirectory, read_checkpoint
from training.loop.trainer import Trainer
from training.loop.validation import scores, validate
from training.model.base import style_of
from training.model.identity import check_accepted, check_identity
from training.model.lora import load_unmerged, merged_weights
from training.model.network import BaseCheckpoint, build, collator_of, trained_weights
from training.model.proposal_objective import objective_of

_MERGED_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def train(config: TrainConfig, accepted: Sequence[str] = ()) -> None:
    """Starts or resumes a run: the last state is in `run_dir/last.pt`, the best one in `run_dir/best.pt`.

    Args:
        config: Configuration of the run.
        accepted: Names of intended differences from the saved checkpoint (`training.model.identity.NAMES`).

    Raises:
        ConfigurationError: If the configuration does not fit the data, the base checkpoint or the machine.
        DatasetError: If files of a data set are missing or damaged.
        TrainingError: If training cannot continue; the last saved state stays valid.

    Example:
        >>> train(load_config(Path("config/training/lisa_qlora_3090.yaml")))  # doctest: +SKIP
    """
    check_accepted(accepted)
    items = open_items(config.data, config.seed, style_of(config.model))
    validations = open_validation(config.validation.data, config.data.root, config.data.proposals)
    about = [f"data: {line}" for line in samples_lines(config.data, items)]
    about += [f"validation: {name}, {len(samples)} images" for name, samples in validations.items()]
    trainer = Trainer(config, items, validations, accepted, about)
    state = trainer.train()
    if trainer.is_main and state.step > config.batch.steps:
        print(f"{config.run_dir} has {state.step} steps already, batch.steps is {config.batch.steps}")
    elif trainer.is_main and state.step == config.batch.steps:
        best = "" if state.best_giou is None else f", best gIoU {state.best_giou:.4f}"
        print(f"{state.step} steps, {state.skipped} items left out{best}; {config.run_dir}")
    trainer.accelerator.end_training()


def validate_run(
    config: TrainConfig, checkpoint: Path | None, accepted: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Scores a checkpoint of a run on its validation sets.

    The scores are printed, and written to `run_dir/validation/NAME.json` with the checkpoint's name.

    Args:
        config: Configuration of the run.
        checkpoint: File to score; None for the best one, else the last one; `Path("base")` for the untrained base.
        accepted: Names of intended differences from the checkpoint (`training.model.identity.NAMES`).

    Returns:
        The scores by name, for each validation set.

    Raises:
        ConfigurationError: If the configuration names no validation set.
        TrainingError: If there is no checkpoint, or it belongs to another base or configuration.
    """
    check_accepted(accepted)
    if not config.validation.data:
        raise ConfigurationError("validation.data names no set")
    accelerator = make_accelerator(config)
    base = build(config, accelerator.device)
    source = _load(base, checkpoint, config.run_dir, accepted)
    objective = objective_of(base.network).to(accelerator.device)
    objective = accelerator.prepare(objective)
    collator = collator_of(base, config, base.network.config.max_position_embeddings)
    found = {}
    for name, samples in open_validation(config.validation.data, config.data.root, config.data.proposals).items():
        scored = validate(
            objective,
            samples,
            collator,
            base.network.config,
            accelerator,
            max_images=config.validation.max_images,
            pictures=config.run_dir / "samples" / name.replace("|", "_") / "validate",
            picture_count=config.validation.pictures,
            skip_limit=config.data.skip_limit,
        )
        found[name] = scores(scored.metrics) | ({"left_out": len(scored.left_out)} if scored.left_out else {})
        if accelerator.is_main_process:
            for reason in scored.left_out:
                print(f"{name}: left out: {reason}", file=sys.stderr)
    if accelerator.is_main_process:
        print(json.dumps(found, indent=2))
        record = {"checkpoint": str(source), **provenance(), "max_images": config.validation.max_images}
        path = RunDirectory(config.run_dir).write_validation(source.stem, record | {"scores": found})
        print(f"written to {path}", file=sys.stderr)
    accelerator.end_training()
    return found


def merge(config: TrainConfig, checkpoint: Path | None, out: Path, accepted: Sequence[str] = ()) -> None:
    """Merges the adapters into their base and writes a checkpoint that `Lisa.from_pretrained` loads.

    Args:
        config: Configuration of the run.
        checkpoint: File of this run, or an un-merged official one (`pytorch_model.bin` of zero_to_fp32.py); None for
            the best one, else the last one; `Path("base")` for the untrained base.
        out: Directory to write, without other weights.
        accepted: Names of intended differences from the checkpoint (`training.model.identity.NAMES`).

    Raises:
        ConfigurationError: If `out` is the base's own directory or holds other weights.
        TrainingError: If there is no checkpoint, or it belongs to another base or configuration.
    """
    check_accepted(accepted)
    _check_out(config.model.source, out)
    base = build(config, torch.device("cpu"), quantized=False)
    source = _load(base, checkpoint, config.run_dir, accepted)
    weights = merged_weights(base.network, _MERGED_DTYPES[config.devices.precision])
    _check_same(out, weights)
    write_checkpoint(base.network.config, weights, base.directory, out)
    print(f"{source} merged into {out}")
    if config.lora.r and source.suffix not in (".pt", ""):
        lora = config.lora
        print(f"the file lacks the scale of the adapters: lora.alpha / lora.r is {lora.alpha} / {lora.r} here")


def _check_out(source: str, out: Path) -> None:
    """Raises ConfigurationError where the merged weights would take the place of the base's, or lie beside others."""
    if out.is_dir() and out.resolve() == find(source).resolve():
        raise ConfigurationError(f"--out {out} is the base's own folder (model.source); name another one")
    if others := [name for name in weight_files(out) if name != SAVED_WEIGHTS]:
        raise ConfigurationError(f"--out {out} holds other weights, {others[0]}; name another folder")


def _check_same(out: Path, weights: Mapping[str, Tensor]) -> None:
    """The same merge may be done again; raises ConfigurationError for weights of anything else."""
    path = out / SAVED_WEIGHTS
    if path.is_file() and differences(read_weight_file(path), weights):
        raise ConfigurationError(f"--out {out} holds other weights, {path.name}; name another folder, or remove them")


def default_checkpoint(run_dir: Path) -> Path:
    """The best checkpoint of a run, else the last one.

    Args:
        run_dir: Directory of the run.

    Returns:
        The file.

    Raises:
        TrainingError: If the run has no checkpoint.
    """
    for name in (BEST, LAST):
        if (run_dir / name).exists():
            return run_dir / name
    raise TrainingError(f"{run_dir} has no checkpoint ({BEST}, {LAST}); train first, or name one with --checkpoint")


def _load(base: BaseCheckpoint, checkpoint: Path | None, run_dir: Path, accepted: Sequence[str]) -> Path:
    """Loads a checkpoint as the command line names it; returns which one."""
    source = checkpoint or default_checkpoint(run_dir)
    if str(source) != "base":
        load_trained(base, source, accepted)
    return source


def load_trained(base: BaseCheckpoint, path: Path, accepted: Sequence[str] = ()) -> None:
    """Loads a checkpoint of this code, or an un-merged official one, into a network with adapters.

    Args:
        base: The network of the run; its weights are changed in place.
        path: File to load.
        accepted: Names of intended differences from the checkpoint.

    Raises:
        TrainingError: If the checkpoint belongs to another base, or to a configuration that gives its weights another
            meaning.
    """
    network = base.network
    if path.suffix == ".pt":
        state = read_checkpoint(path)
        trained = trained_weights(network)
        check_names(trained, state.weights)
        check_identity(state.identity, base.identity, path, accepted)
        copy_weights(trained, state.weights)
        return
    weights = read_weight_file(path)
    if not any(key.startswith(PREFIX) for key in weights):
        raise TrainingError(f"{path} is no checkpoint of a run and no un-merged LISA ({PREFIX}...)")
    load_unmerged(network, weights, path)
