"""CLIP's vision tower as LLaVA reads it: the patch tokens of an inner layer."""

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.utils import logging

from lisa_ros.errors import CheckpointError
from lisa_ros.model.config_keys import check_clip_keys
from lisa_ros.model.files import expand_home, refuse_pointer
from lisa_ros.model.hub import HubError, check_cache, explain_proxy, optional_file
from lisa_ros.model.memory import is_out_of_memory
from lisa_ros.model.preprocess import PREPROCESSOR_FILE, ClipPreprocessor
from lisa_ros.model.weights import check_finite, check_layouts

PUBLISHED_TOWER = "model.vision_tower.vision_tower.vision_model."  # of its keys inside a LLaVA
_TOWER_KEY = re.compile(r"(?:base_model\.model\.)?model\.vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?(.+)")

# What transformers and torch raise for a configuration or weights that are damaged or of another model.
_UNUSABLE = (
    *(ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, EOFError),
    *(StrictDataclassError, SafetensorError),
)
_REMEDY = "give its directory or hub name with vision_tower=PATH"


@contextmanager
def quiet() -> Iterator[None]:
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
        self._names = set(model.state_dict())
        model.encoder.layers = layers[: len(layers) + 1 + select_layer]
        self.model = model
        self.preprocess = preprocess
        self.hidden_size: int = model.config.hidden_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Patch tokens in row-major order."""
        return self.model(pixels.to(self.model.dtype)).last_hidden_state[:, 1:]

    def adopt(self, weights: Mapping[str, Tensor], source: object, *, tuned: bool = False) -> bool:
        """Takes a checkpoint's own vision tower, which may have been trained on; returns whether it is another one.

        weights: of the whole checkpoint; without any of a tower, and not `tuned`, nothing happens. Equal after
        rounding to the coarser of the two number formats is the same tower, and stays as it is.
        tuned: the checkpoint says that its tower was trained. Raises CheckpointError where its weights do not fit.
        """
        own = own_tower(weights)
        if not own and not tuned:
            return False
        here = {name: value for name, value in self.model.state_dict().items() if "post_layernorm" not in name}
        missing = sorted(set(here) - set(own))
        foreign = sorted(set(own) - self._names - {"embeddings.position_ids"})
        shapes = [name for name in here if name in own and own[name].shape != here[name].shape]
        if tuned and not own:
            raise CheckpointError(
                f"{source} says that its vision tower was trained too (unfreeze_mm_vision_tower), but holds no weights "
                "of it. If the tower that vision_tower names is the trained one, set the key to false"
            )
        if missing or foreign or shapes:
            raise CheckpointError(
                f"{source} holds a vision tower of its own that is not of the sizes that vision_tower names: "
                f"{len(missing)} weights are missing, {len(foreign)} unknown, {len(shapes)} of another shape, "
                f"{(missing + foreign + shapes)[0]} among them; give the tower that it was trained from with "
                "vision_tower=PATH"
            )
        if not tuned and all(_same_after_rounding(own[name], value) for name, value in here.items()):
            return False
        check_finite(own, source)
        with torch.no_grad():
            for name, value in here.items():
                value.copy_(own[name])
        return True

    def published_weights(self) -> dict[str, Tensor]:
        """The tower's weights by the keys that LLaVA gives them inside a checkpoint."""
        return {f"{PUBLISHED_TOWER}{name}": value for name, value in self.model.state_dict().items()}

    @classmethod
    def from_pretrained(cls, source: str, select_layer: int) -> "ClipTower":
        """Loads a CLIPVisionModel or the vision part of a CLIPModel from a directory or from the hub.

        Raises CheckpointError naming `vision_tower=PATH` if it is not there, damaged or of another kind.
        """
        source = expand_home(source)
        directory = Path(source)
        if directory.is_dir():
            if not (directory / "config.json").is_file():  # transformers would assume ViT-B/32
                raise CheckpointError(f"vision tower {source!r} has no config.json; {_REMEDY}")
            for path in directory.iterdir():
                refuse_pointer(path)
            check_layouts(directory)
        try:
            if not directory.is_dir():
                check_cache()
            _check_config(source)
            config = CLIPVisionConfig.from_pretrained(source)
            with quiet():  # the text half of a CLIPModel is not wanted, and reported as unexpected
                model, report = CLIPVisionModel.from_pretrained(
                    source, config=config, attn_implementation="sdpa", output_loading_info=True
                )
        except (OSError, HFValidationError, HubError) as error:
            reason = (not directory.is_dir() and explain_proxy()) or error
            raise CheckpointError(f"vision tower {source!r} not found or damaged: {reason}; {_REMEDY}") from error
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
        check_finite(model.state_dict(), f"vision tower {source!r}")
        if not directory.is_dir():
            file = optional_file(source, PREPROCESSOR_FILE)
            directory = directory if file is None else file.parent
        return cls(model.eval(), select_layer, ClipPreprocessor.from_directory(directory, config.image_size))


def own_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a vision tower inside a checkpoint, by the names that CLIPVisionModel gives them."""
    found = ((_TOWER_KEY.fullmatch(key), value) for key, value in weights.items())
    return {match[1]: value for match, value in found if match}


def _same_after_rounding(first: Tensor, second: Tensor) -> bool:
    coarse = min((first.dtype, second.dtype), key=lambda dtype: torch.finfo(dtype).bits)
    return torch.equal(first.to(coarse), second.to(coarse))


def _check_config(source: str) -> None:
    """Raises CheckpointError for a configuration that describes another network than CLIP's vision tower."""
    values, _ = CLIPVisionConfig.get_config_dict(source)
    where = f"vision tower {source!r}: config.json"
    if isinstance(values.get("vision_config"), Mapping):  # of a whole CLIP
        if values.get("model_type", "clip") != "clip":
            raise CheckpointError(f"{where} is of a {values['model_type']}; only clip is supported; {_REMEDY}")
        repeated = values.get("vision_config_dict") or {}
        values = {"model_type": "clip_vision_model"} | values["vision_config"]
        if differing := [key for key in repeated if key in values and values[key] != repeated[key]]:
            raise CheckpointError(f"{where}: vision_config and vision_config_dict differ in {differing[0]}; {_REMEDY}")
    try:
        check_clip_keys(values, where)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_REMEDY}") from None
