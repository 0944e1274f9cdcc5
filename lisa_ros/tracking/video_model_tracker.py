"""Masks moved by a streaming video model: EdgeTAM or SAM 3's tracker."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from lisa_ros.model.memory import memory_guard
from lisa_ros.tracking.mask_tracker import TrackedMask, check_followed
from lisa_ros.tracking.video_models import VideoModel


class VideoModelTracker:
    """A `MaskTracker` by a video model of transformers, which remembers how the targets looked in the last images.

    `confidence` is the model's probability that the target is visible. The session keeps the features of the first
    image and of as many last ones as the model looks at, never more, however long it goes on. Memory and time grow
    with the number of masks.

    Args:
        model: Its weights; several trackers may share them.
    """

    def __init__(self, model: VideoModel) -> None:
        self._model = model
        config = model.network.config
        self._reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)  # images that are looked back at
        self._shape: tuple[int, ...] | None = None
        self._session = None
        self._number = 0

    def start(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> None:
        """See `MaskTracker.start`. Raises MemoryBudgetError."""
        model = self._model
        self._session = None  # frees the old one before the new one needs the memory
        self._shape, self._number = image.shape, 0
        if not masks:
            return
        session = model.session(inference_device=model.device, inference_state_device=model.device,
                                video_storage_device=model.device, dtype=torch.float32)  # fmt: skip
        for number, mask in enumerate(masks):
            session.add_mask_inputs(session.obj_id_to_idx(number), 0, self._square(mask))
        session.obj_with_new_inputs = list(range(len(masks)))
        self._session = session
        self._run(image)

    def update(self, image: np.ndarray) -> tuple[TrackedMask, ...]:
        """See `MaskTracker.update`. Raises MemoryBudgetError as well."""
        check_followed(image, self._shape)
        if self._session is None:
            return ()
        self._number += 1
        logits, scores = self._run(image)
        logits = F.interpolate(logits, self._shape[:2], mode="bilinear", align_corners=False)
        masks, confidences = (logits[:, 0] > 0).cpu().numpy(), torch.sigmoid(scores).cpu().tolist()
        return tuple(TrackedMask(mask, confidence) for mask, confidence in zip(masks, confidences, strict=True))

    @torch.inference_mode()
    def _run(self, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 1, h, w) logits of the masks, and (N,) logits of "it is visible"."""
        with memory_guard(self._model.device, "tracker"):
            output = self._model.network(self._session, frame=self._pixels(image), frame_idx=self._number)
        self._forget()
        return output.pred_masks.float(), output.object_score_logits.float().flatten()

    def _forget(self) -> None:
        """Drops what the model will not look at any more; transformers' sessions keep everything."""
        session = self._session
        session.processed_frames.clear()
        for tracked in session.frames_tracked_per_obj.values():
            tracked.clear()
        for outputs in session.output_dict_per_obj.values():
            kept = outputs["non_cond_frame_outputs"]
            for number in [number for number in kept if number <= self._number - self._reach]:
                del kept[number]

    def _pixels(self, image: np.ndarray) -> torch.Tensor:
        """(1, 3, side, side) float32, as transformers' processors of these models prepare images."""
        model = self._model
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(model.device).permute(2, 0, 1)[None]
        side = (model.side, model.side)
        pixels = F.interpolate(pixels.float(), side, mode="bilinear", align_corners=False, antialias=True)
        return (pixels.round().clamp(0, 255) / 255 - model.mean) / model.std

    def _square(self, mask: np.ndarray) -> torch.Tensor:
        """(1, 1, side, side) float32, 0 or 1."""
        side = (self._model.side, self._model.side)
        pixels = torch.from_numpy(np.ascontiguousarray(mask)).to(self._model.device)[None, None].float()
        return (F.interpolate(pixels, side, mode="bilinear", align_corners=False, antialias=True) >= 0.5).float()
