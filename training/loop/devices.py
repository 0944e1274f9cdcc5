"""Set-up of `accelerate`, and gathering and scattering the state of a distributed run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from training.config.train_config import TrainConfig
from training.errors import TrainingError

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_SCATTER = StateDictOptions(full_state_dict=True, strict=False, ignore_frozen_params=True)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The accelerator of this process, as `accelerate launch` or torchrun describe it in the environment."""
    accelerator = Accelerator(
        mixed_precision="bf16" if config.devices.precision == "bf16" else "no",
        # gradients of micro-batches add up locally; devices meet once an optimizer step
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=config.batch.accumulation, sync_with_dataloader=False
        ),
    )
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        deepspeed_config = accelerator.state.deepspeed_plugin.deepspeed_config
        deepspeed_config["train_micro_batch_size_per_gpu"] = config.batch.batch_size
        deepspeed_config["gradient_accumulation_steps"] = config.batch.accumulation
        deepspeed_config["gradient_clipping"] = config.optimizer.clip
    return accelerator


def is_fsdp(accelerator: Accelerator) -> bool:
    """Weights are sharded by FSDP."""
    return accelerator.distributed_type == DistributedType.FSDP


def is_deepspeed(accelerator: Accelerator) -> bool:
    """The optimizer is DeepSpeed's."""
    return accelerator.distributed_type == DistributedType.DEEPSPEED


def gather_weights(accelerator: Accelerator, objective: nn.Module) -> dict[str, Tensor]:
    """The trained parameters, whole, on the CPU of the main process (others may get none). All processes call it."""
    if is_fsdp(accelerator):
        trained = {name for name, p in objective.named_parameters() if p.requires_grad}
        whole = get_model_state_dict(objective, options=_FULL)
        return {name.removeprefix("network."): value for name, value in whole.items() if name in trained}
    plain = accelerator.unwrap_model(objective)
    return {name: p.detach().cpu() for name, p in plain.network.named_parameters() if p.requires_grad}


def gather_optimizer(
    accelerator: Accelerator, objective: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, object]:
    """The optimizer's whole state for the main process to save. All processes call it."""
    if is_fsdp(accelerator):
        return get_optimizer_state_dict(objective, optimizer.optimizer, options=_FULL)
    return optimizer.optimizer.state_dict()


def scatter(
    accelerator: Accelerator,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    optimizer_state: Mapping[str, object],
) -> None:
    """Puts a saved state back. Raises TrainingError if it belongs to another set of trained parameters."""
    trained = {n: p for n, p in accelerator.unwrap_model(objective).network.named_parameters() if p.requires_grad}
    check_names(trained, weights)
    if is_fsdp(accelerator):
        set_model_state_dict(objective, {f"network.{n}": v for n, v in weights.items()}, options=_SCATTER)
        names = [name for name, parameter in objective.named_parameters() if parameter.requires_grad]
        state = by_name(optimizer_state, names)
        set_optimizer_state_dict(objective, optimizer.optimizer, state, options=_SCATTER)
        return
    copy_weights(trained, weights)
    optimizer.optimizer.load_state_dict(dict(optimizer_state))


def by_name(optimizer_state: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """An optimizer's state as FSDP takes it: by the parameters' names, where one process alone has saved numbers."""
    groups = optimizer_state["param_groups"]
    if not any(isinstance(parameter, int) for group in groups for parameter in group["params"]):
        return dict(optimizer_state)
    return {
        "state": {names[number]: values for number, values in optimizer_state["state"].items()},
        "param_groups": [{**group, "params": [names[number] for number in group["params"]]} for group in groups],
    }


def check_names(trained: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raises TrainingError naming a parameter that is on one side only or has another shape."""
    for name in sorted(set(trained) ^ set(weights)):
        where = "the checkpoint" if name in weights else "the network"
        raise TrainingError(
            f"the checkpoint does not fit: {name} learns only in {where}; keep model, lora and trainable of the run "
            "or take another run_dir"
        )
    for name, value in weights.items():
        if tuple(value.shape) != tuple(trained[name].shape):
            raise TrainingError(
                f"the checkpoint does not fit: {name} is {tuple(value.shape)}, "
                f"the network's {tuple(trained[name].shape)}"
            )


def copy_weights(trained: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copies saved parameters into those of the network."""
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])


def save_deepspeed(objective: nn.Module, run_dir: Path, step: int) -> None:
    """DeepSpeed's own files, one of each process, beside `last.pt`. All processes call it."""
    objective.save_checkpoint(str(run_dir / "deepspeed"), tag=f"step_{step}", exclude_frozen_parameters=True)


def load_deepspeed(objective: nn.Module, run_dir: Path, step: int) -> None:
    """Reads what save_deepspeed wrote. Raises TrainingError if it is not there."""
    directory = run_dir / "deepspeed"
    if not (directory / f"step_{step}").is_dir():
        raise TrainingError(f"{directory / f'step_{step}'} is missing: the run was not saved by DeepSpeed")
    objective.load_checkpoint(str(directory), tag=f"step_{step}", load_module_strict=False)


def drop_old_deepspeed(run_dir: Path, step: int) -> None:
    """Removes DeepSpeed's files of all steps but this one."""
    for path in (run_dir / "deepspeed").glob("step_*"):
        if path.name != f"step_{step}":
            shutil.rmtree(path)


def seed_of(seed: int, first_item: int) -> int:
    """The seed of a micro-batch's dropout.

    It depends only on the items, so a resumed run, or one on another number of devices, draws the same numbers.

    Args:
        seed: Of the run.
        first_item: Index in the stream of the micro-batch's first item.

    Returns:
        A seed for `torch.manual_seed`.
    """
    return (seed * 1_000_003 + first_item * 7919 + 17) % (1 << 63)
