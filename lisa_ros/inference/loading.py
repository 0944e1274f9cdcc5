"""A checkpoint, merged or not, onto its device."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from lisa_ros.cpu_threads import check_wait_policy, set_threads
from lisa_ros.inference.compiled_step import check_compile, compiled_step
from lisa_ros.inference.loaded_model import LoadedModel
from lisa_ros.inference.precision import float_type, place, resolve_device
from lisa_ros.inference.quality import find_calibration
from lisa_ros.model.checkpoint import load
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.prompts import get_template
from lisa_ros.model.styles import get_style
from lisa_ros.model.unmerged import load_unmerged
from lisa_ros.model.weight_types import cast_weight


def ready_device(name: str, threads: int) -> torch.device:
    """The device of that name, with torch's threads set; arguments and errors as of Lisa.from_pretrained."""
    device = resolve_device(name)
    set_threads(threads)
    if device.type == "cpu":
        check_wait_policy()
    return device


def load_model(
    source: str | Path,
    *,
    device: torch.device,
    precision: str,
    compile: str,
    options: Mapping[str, object],
    proposal_options: Mapping[str, object] | None = None,
    quality_calibration: str | Path | None = None,
) -> LoadedModel:
    """See Lisa.from_pretrained; `options` are those of `load`, or with a `base` those of `load_unmerged`."""
    dtype = float_type(precision, device)
    check_compile(compile)
    if options["conv_type"]:
        get_template(options["conv_type"])
    if options["style"]:
        get_style(options["style"])
    with memory_guard(device, "model"):
        checkpoint = (load_unmerged if "base" in options else load)(source, dtype=None, **options)
        network = checkpoint.network
        cast = partial(cast_weight, config=network.config, dtype=dtype, source=checkpoint.directory)
        place(network, precision, dtype, device, cast)
        step = compiled_step(network, compile, precision=precision, device=device)
    name = Path(source).resolve().name if Path(source).exists() else str(source)
    parts = {"device": device, "precision": precision, "name": name, "proposal_options": proposal_options}
    model = LoadedModel(checkpoint, **parts)
    model.calibration = find_calibration(quality_calibration, checkpoint.directory, checkpoint.network)
    model.compiled = step
    return model
