"""Grounded-SAM as a baseline: an open-vocabulary detector finds boxes for the words, Segment Anything masks in them."""

import numpy as np
import torch

from lisa_ros.errors import CheckpointError
from lisa_ros.evaluation.scans.scan import Case
from lisa_ros.inference.precision import resolve_device

# Those of the published demo.
_BOX_THRESHOLD, _TEXT_THRESHOLD = 0.35, 0.25


class GroundedSam:
    """detector: Grounding DINO, segmenter: Segment Anything; each a directory in transformers' layout, or a hub id.

    Raises CheckpointError, ConfigurationError for a device that is not there.
    """

    def __init__(self, detector: str, segmenter: str, device: str = "auto"):
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor, SamModel, SamProcessor

        self._device = resolve_device(device)
        try:
            self._words = AutoProcessor.from_pretrained(detector)
            self._detector = AutoModelForZeroShotObjectDetection.from_pretrained(detector).to(self._device).eval()
            self._prompts = SamProcessor.from_pretrained(segmenter)
            self._segmenter = SamModel.from_pretrained(segmenter).to(self._device).eval()
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"Grounded-SAM cannot be loaded from {detector} and {segmenter}: {error}") from error

    def __call__(self, case: Case, image: np.ndarray) -> np.ndarray | None:
        """(H, W) bool, the union of the masks of all boxes; None where no box is sure enough."""
        with torch.inference_mode():
            boxes = self._boxes(case.query.text, image)
            return self._masks(boxes, image) if len(boxes) else None

    def _boxes(self, text: str, image: np.ndarray) -> torch.Tensor:
        """(N, 4) left, top, right, bottom in px."""
        words = text.lower().strip(" .!?") + "."  # as the detector was trained
        inputs = self._words(images=image, text=words, return_tensors="pt").to(self._device)
        outputs = self._detector(**inputs)
        found = self._words.post_process_grounded_object_detection(
            outputs, inputs.input_ids, threshold=_BOX_THRESHOLD, text_threshold=_TEXT_THRESHOLD,
            target_sizes=[image.shape[:2]],
        )  # fmt: skip
        return found[0]["boxes"].cpu()

    def _masks(self, boxes: torch.Tensor, image: np.ndarray) -> np.ndarray:
        inputs = self._prompts(image, input_boxes=[boxes.tolist()], return_tensors="pt").to(self._device)
        sizes = inputs.pop("original_sizes").cpu(), inputs.pop("reshaped_input_sizes").cpu()
        outputs = self._segmenter(**inputs, multimask_output=False)
        masks = self._prompts.image_processor.post_process_masks(outputs.pred_masks.cpu(), *sizes)[0]
        return masks.flatten(0, 1).any(dim=0).numpy()
