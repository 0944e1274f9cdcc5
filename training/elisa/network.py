"""The network of a run: a LLaVA with a fresh adapter and LoRA, and its files in ELISA's layout."""

import json
from pathlib import Path

import numpy as np
import torch
import yaml

from lisa_ros.datasets.elisa_records import MaskRecord
from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.precision import quantize
from lisa_ros.model.elisa.adapter import MaskAdapter, make_adapter
from lisa_ros.model.elisa.checkpoint import base_directory, load_llava
from lisa_ros.model.elisa.files import EMBEDDING_SIZE, MEAN_FILE, MODELS_DIR, SETTINGS_FILE, ElisaFiles
from lisa_ros.model.elisa.network import ElisaNetwork
from lisa_ros.model.elisa.tokenizer import ElisaTokenizer
from lisa_ros.model.preprocess import ClipPreprocessor
from lisa_ros.model.saving import write_atomically
from training.elisa.config import ElisaTrainConfig
from training.elisa.lora import prepare_elisa, published_elisa_weights

_NAME = "elisa"
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def files_of(config: ElisaTrainConfig, embedding_dim: int, end_of_turn: str | None = None) -> ElisaFiles:
    """Where a run's weights go, and the arguments that are stored beside them."""
    local = Path(config.model.source).expanduser()
    values = {
        "model_name": str(local.resolve()) if local.is_dir() else config.model.source,
        EMBEDDING_SIZE: embedding_dim,
        "lora_rank": config.lora_rank,
        **config.adapter_arguments(),
        **({"end_turn_token": end_of_turn} if end_of_turn else {}),
    }
    return ElisaFiles(config.run_dir, config.run_dir / MODELS_DIR / f"{_NAME}.pth", values)


def new_network(
    config: ElisaTrainConfig, records: list[MaskRecord], device: torch.device
) -> tuple[ElisaNetwork, ElisaTokenizer, ClipPreprocessor]:
    """The network on its device, ready to train, with the mean of the records' embeddings. Raises LisaError."""
    files = files_of(config, records[0].truth.shape[1])
    directory = base_directory(files)
    tokenizer = ElisaTokenizer.from_directory(directory)
    llava, dtype = load_llava(directory), _DTYPES[config.precision]
    adapter = _new_adapter(files, records, llava.config.text_config.hidden_size)
    untied = llava.lm_head.weight is not llava.get_input_embeddings().weight
    network = ElisaNetwork(
        llava.to(dtype),
        adapter,
        image_id=tokenizer.image_id,
        first_candidate=tokenizer.first_candidate,
        head_adapter=_new_adapter(files, records, llava.config.text_config.hidden_size) if untied else None,
        closed=config.model.style.closed,
    )
    if config.quantization == "nf4":
        if device.type != "cuda":
            raise ConfigurationError(f"quantization nf4 needs a CUDA device, this is {device.type}; set it to none")
        quantize(network, "nf4", dtype)
    prepare_elisa(network, config.lora_rank)
    if config.gradient_checkpointing:
        llava.activation_checkpointing_enable({"use_reentrant": False})
    preprocess = ClipPreprocessor.from_directory(directory, llava.config.vision_config.image_size)
    return network.to(device), tokenizer, preprocess


def _new_adapter(files: ElisaFiles, records: list[MaskRecord], width: int) -> MaskAdapter:
    adapter = make_adapter(files.values, int(files.values[EMBEDDING_SIZE]), width, "adapter")
    embeddings = np.concatenate([part for record in records for part in (record.truth, record.others)])
    adapter.mean = torch.from_numpy(embeddings.mean(axis=0, dtype=np.float64).astype(np.float32))
    return adapter


def save_elisa(network: ElisaNetwork, config: ElisaTrainConfig, end_of_turn: str) -> None:
    """Writes the run's weights so that `Lisa.from_pretrained(run_dir)` loads them.

    Of a quantised base, whose exact weights are its own files, only what has learnt is written.
    """
    files = files_of(config, len(network.adapter.mean), end_of_turn)
    folder = files.weights.parent
    folder.mkdir(parents=True, exist_ok=True)
    weights = published_elisa_weights(network)
    if config.quantization != "none":
        learnt = (".lora_A.", ".lora_B.")
        weights = {
            key: value
            for key, value in weights.items()
            if key.startswith(("adapter.", "head_adapter.")) or any(part in key for part in learnt)
        }
    mean = network.adapter.mean.cpu()
    write_atomically(folder / MEAN_FILE, lambda path: torch.save(mean, path))
    write_atomically(files.weights, lambda path: torch.save(weights, path))
    text = json.dumps(dict(files.values), indent=2) + "\n"
    write_atomically(files.weights.with_suffix(".json"), lambda path: path.write_text(text, encoding="utf-8"))
    alphaclip = Path(config.model.alphaclip).expanduser().resolve()
    settings = {"alphaclip": {"checkpoint_dir": str(alphaclip if alphaclip.is_dir() else alphaclip.parent)}}
    if config.model.sam_checkpoint is not None:
        sam = Path(config.model.sam_checkpoint).expanduser().resolve()
        settings["sam"] = {"checkpoint_dir": str(sam.parent), "file": sam.name}
    write_atomically(
        config.run_dir / SETTINGS_FILE, lambda path: path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    )
