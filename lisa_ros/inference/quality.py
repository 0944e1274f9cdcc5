"""`Target.quality`: a calibrated probability that a mask is right, from what the model says of it and how it looks.

Right is a mask whose IoU with what was asked for (one of the objects, or all of them together) is at least 0.5: so the
number tells of a wrong object as of a bad outline, and a robot can weigh it against the cost of a mistake.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import expand_home, read_json
from lisa_ros.model.weight_types import FLOAT32_PARTS
from lisa_ros.types import MaskFeatures

FILE = "quality_calibration.json"  # in a checkpoint's folder
IOU = 0.5  # from which on a mask is right
PREDICTORS = ("logit_mean_probability", "largest_share", "compactness", "logit_stability")
_BOUND = 1e-3  # of shares, before their log-odds are taken
_PARTS = (*FLOAT32_PARTS, "adapter.", "head_adapter.")  # that turn words into masks, LISA's and ELISA's
_REMEDY = "make one with `lisa-ros eval BENCHMARK ... --calibrate FILE`"


@dataclass(frozen=True)
class QualityCalibration:
    """A logistic regression, fitted to masks of one checkpoint whose truth is known.

    Attributes:
        bias: Log-odds where all predictors are 0.
        weights: Of the PREDICTORS, by name.
        checkpoint: `mask_digest` of the network that it was fitted to.
        fitted_to: What it was fitted to: model, data set, numbers.
        held_out: How good it is on other images: numbers, calibration error, reliability.
    """

    bias: float
    weights: Mapping[str, float]
    checkpoint: str
    fitted_to: Mapping[str, object] = field(default_factory=dict)
    held_out: Mapping[str, object] = field(default_factory=dict)

    def probability(self, mean_probability: float, features: MaskFeatures) -> float:
        """Probability that a mask is right.

        Args:
            mean_probability: Mean of sigmoid(logits) inside the mask.
            features: Of the mask.
        """
        values = predictors(mean_probability, features)
        log_odds = self.bias + sum(self.weights[name] * value for name, value in zip(PREDICTORS, values, strict=True))
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))

    def write(self, path: Path) -> None:
        """Writes the file that `read` reads."""
        content = {"right": f"IoU with what was asked for >= {IOU}", **vars(self)}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "QualityCalibration":
        """The calibration in a file. Raises CheckpointError where it is missing, damaged or of another kind."""
        values = read_json(path)
        values.pop("right", None)
        weights = values.get("weights")
        numbers = [values.get("bias"), *(weights.get(name) for name in PREDICTORS)] if isinstance(weights, dict) else []
        if (
            not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
            or not numbers
            or weights.keys() != set(PREDICTORS)
            or not isinstance(values.get("checkpoint"), str)
        ):
            raise CheckpointError(
                f"{path} is not a calibration of this version of lisa_ros: it must hold checkpoint, bias, and weights "
                f"of {', '.join(PREDICTORS)}; {_REMEDY}"
            )
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})


def predictors(mean_probability: float, features: MaskFeatures) -> tuple[float, ...]:
    """What the regression is made on, in the order of PREDICTORS."""
    stability = _log_odds(features.stability)
    return _log_odds(mean_probability), features.largest_share, features.compactness, stability


def find_calibration(given: str | Path | None, directory: Path, network: nn.Module) -> QualityCalibration | None:
    """The calibration of a checkpoint; None where there is none, and qualities are NaN.

    Args:
        given: The file; None: FILE in `directory`, where there is one.
        directory: Of the checkpoint.
        network: The checkpoint's.

    Raises:
        CheckpointError: A file that was given is missing, damaged, or of another checkpoint. What is wrong with a file
            that was not is a warning.
    """
    path = directory / FILE if given is None else Path(expand_home(given))
    if given is None and not path.is_file():
        return None
    try:
        calibration = QualityCalibration.read(path)
        if calibration.checkpoint != mask_digest(network):
            raise CheckpointError(f"{path} was made for other weights than these; {_REMEDY}")
    except CheckpointError as error:
        if given is not None:
            raise
        warnings.warn(f"no quality of masks: {error}", RuntimeWarning, stacklevel=2)
        return None
    return calibration


def mask_digest(network: nn.Module) -> str:
    """Tells checkpoints apart by the weights that their masks come from, which are float32 in every precision."""
    digest = hashlib.blake2b(digest_size=8)
    for name, weight in sorted(network.named_parameters()):
        if name.startswith(_PARTS):
            digest.update(name.encode())
            digest.update(_bytes(weight))
    return digest.hexdigest()


def _bytes(weight: Tensor) -> memoryview:
    return memoryview(weight.detach().float().cpu().contiguous().numpy()).cast("B")


def _log_odds(share: float) -> float:
    bounded = min(max(share, _BOUND), 1 - _BOUND)
    return math.log(bounded / (1 - bounded))
