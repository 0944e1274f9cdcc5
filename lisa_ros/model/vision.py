"""CLIP's vision tower as LLaVA reads it: the patch tokens of an inner layer."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.utils import logging

from lisa_ros.errors import CheckpointError
from lisa_ros.model.memory import is_out_of_memory
from lisa_ros.model.preprocess import ClipPreprocessor

# What transformers and torch raise for a configuration or weights that are damaged or of another model.
_UNUSABLE = (
    *(ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, EOFError),
    *(StrictDataclassError, SafetensorError),
)
_REMEDY = "give its directory or hub name with vision_tower=PATH"


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and no progress bars of transformers."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


class ClipTower(nn.Module):
    """Pixels (B, 3, S, S) -> patch tokens (B, N, C), N = (S / patch size)^2, of the layer `select_layer` from the end.

    The layers behind it and CLIP's class token have no influence; the layers are dropped.
    """

    def __init__(self, model: CLIPVisionModel, select_layer: int, preprocess: ClipPreprocessor) -> None:
        super().__init__()
        layers = model.encoder.layers
        if len(layers) + 1 < -select_layer:
            raise CheckpointError(
                f"mm_vision_select_layer is {select_layer}, the vision tower has {len(layers)} layers"
            )
        model.encoder.layers = layers[: len(layers) + 1 + select_layer]
        self.model = model
        self.preprocess = preprocess
        self.hidden_size: int = model.config.hidden_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Patch tokens in row-major order."""
        return self.model(pixels.to(self.model.dtype)).last_hidden_state[:, 1:]

    @classmethod
    def from_pretrained(cls, source: str, select_layer: int) -> "ClipTower":
        """Loads a CLIPVisionModel or the vision part of a CLIPModel from a directory or from the hub.

        Raises CheckpointError naming `vision_tower=PATH` if it is not there, damaged or of another kind.
        """
        directory = Path(source)
        if directory.is_dir() and not (directory / "config.json").is_file():  # transformers would assume ViT-B/32
            raise CheckpointError(f"vision tower {source!r} has no config.json; {_REMEDY}")
        try:
            config = CLIPVisionConfig.from_pretrained(source)
            with _quiet():  # the text half of a CLIPModel is not wanted, and reported as unexpected
                model, report = CLIPVisionModel.from_pretrained(
                    source, config=config, attn_implementation="sdpa", output_loading_info=True
                )
        except (OSError, HFValidationError) as error:
            raise CheckpointError(f"vision tower {source!r} not found or damaged: {error}; {_REMEDY}") from error
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"vision tower {source!r}: its weights are damaged or hold code besides tensors, and are not loaded; "
                f"save its state dict alone, best as safetensors, or {_REMEDY}"
            ) from error
        except _UNUSABLE as error:
            if is_out_of_memory(error):
                raise  # nothing is wrong with the tower; memory_guard says what to do
            raise CheckpointError(
                f"vision tower {source!r} cannot be loaded: {str(error) or type(error).__name__}; {_REMEDY}"
            ) from error
        if report["missing_keys"]:
            raise CheckpointError(
                f"vision tower {source!r} lacks {len(report['missing_keys'])} weights, "
                f"{sorted(report['missing_keys'])[0]} among them: it is not a CLIP vision model; {_REMEDY}"
            )
        return cls(model.eval(), select_layer, ClipPreprocessor.from_directory(directory, config.image_size))
