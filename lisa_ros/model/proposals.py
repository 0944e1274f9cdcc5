"""Masks proposed for a whole image by Segment Anything: its automatic mask generator on features that are there."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from segment_anything import SamAutomaticMaskGenerator
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry.proposals import Proposal, Proposals
from lisa_ros.geometry.run_lengths import compressed
from lisa_ros.model.checks import check_positive, check_switch, check_whole
from lisa_ros.model.preprocess import check_image, sam_preprocess, sam_resized_size
from lisa_ros.model.sam import SamFeatures, SegmentAnything


@dataclass(frozen=True)
class ProposalOptions:
    """How a system has its proposals made; the names are segment-anything's.

    Attributes:
        points_per_side: Prompts along each side of the image.
        points_per_batch: Prompts that are decoded at once.
        pred_iou_thresh: Masks of which the decoder expects less are dropped.
        stability_score_thresh: Masks that change more with their threshold are dropped.
        stability_score_offset: By how much that threshold is moved, in logits.
        box_nms_thresh: Of two masks whose boxes overlap more, the better one stays.
        crop_n_layers: Further rounds on crops of the image, each with features of its own.
        min_mask_region_area: Smaller parts and holes are removed; 0 removes none. px.
        long_side: An image with a longer side is scaled down to it; masks have that size. px.
        square: Scales both sides to `long_side`, whatever the image's shape.
        limit: The largest are kept, at most so many.

    Raises:
        ConfigurationError: A value is out of range.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    min_mask_region_area: int = 0
    long_side: int = 1024
    square: bool = False
    limit: int = 50

    def __post_init__(self) -> None:
        for name in ("points_per_side", "points_per_batch", "long_side", "limit"):
            check_whole(name, getattr(self, name))
        for name in ("crop_n_layers", "min_mask_region_area"):
            check_whole(name, getattr(self, name), 0)
        check_positive("box_nms_thresh", self.box_nms_thresh)
        check_positive("stability_score_offset", self.stability_score_offset)
        for name in ("pred_iou_thresh", "stability_score_thresh"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int | float):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it must be a number")
        check_switch("square", self.square)

    def changed(self, values: Mapping[str, object] | None) -> "ProposalOptions":
        """These with some values in place of their own. Raises ConfigurationError for one that is unknown or wrong."""
        values = dict(values or {})
        if unknown := sorted(map(str, values.keys() - {field.name for field in fields(self)})):
            known = ", ".join(field.name for field in fields(self))
            raise ConfigurationError(f"unknown proposal options: {', '.join(unknown)}; there are {known}")
        return replace(self, **values)

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the masks of an image."""
        if self.square:
            return self.long_side, self.long_side
        scale = min(1.0, self.long_side / max(height, width))
        return max(1, int(height * scale)), max(1, int(width * scale))

    def scaled(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, 3) uint8 at the size of its masks."""
        height, width = self.size_of(*image.shape[:2])
        if (height, width) == image.shape[:2]:
            return image
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR if self.square else cv2.INTER_AREA)


# How the systems that choose among proposals have them made.
SYSTEMS = {
    "llmseg": ProposalOptions(),
    "elisa": ProposalOptions(points_per_side=50, square=True, limit=20),
}


class CandidateProvider:
    """The masks of an image that a system chooses among.

    Attributes:
        options: How they are made.

    Example:
        >>> provider = CandidateProvider(network.sam, ProposalOptions())
        >>> provider.propose(image).masks.shape  # image: (480, 640, 3) uint8 RGB
        (37, 480, 640)
    """

    def __init__(self, sam: SegmentAnything, options: ProposalOptions) -> None:
        """A provider on a network that is also used otherwise; its weights stay as they are."""
        self._sam, self.options = sam, options

    def propose(self, image: np.ndarray, features: SamFeatures | None = None) -> Proposals:
        """The largest masks that Segment Anything finds, the largest first.

        Args:
            image: (H, W, 3) uint8 RGB.
            features: What `encode` gave for `sam_preprocess(image)`, so that nothing is computed twice; None encodes
                the scaled image, as the published preparations do. The two differ in how a larger image is scaled.

        Returns:
            At most `options.limit` masks, of the size that `options.size_of` gives.

        Raises:
            InvalidImageError: The image is of another shape or dtype.
        """
        return self.generate(image, features).largest(self.options.limit)

    def generate(self, image: np.ndarray, features: SamFeatures | None = None) -> Proposals:
        """All masks in the order of segment-anything's generator; arguments and errors as of `propose`."""
        check_image(image)
        names = ("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh")
        names += ("stability_score_offset", "box_nms_thresh", "crop_n_layers", "min_mask_region_area")
        generator = SamAutomaticMaskGenerator(
            self._sam, output_mode="uncompressed_rle", **{name: getattr(self.options, name) for name in names}
        )
        scaled = self.options.scaled(image)
        size = self._sam.config.image_size
        seen = sam_resized_size(*(scaled if features is None else image).shape[:2], size)
        generator.predictor = _FeaturePredictor(self._sam, scaled, features, seen)
        return Proposals(*scaled.shape[:2], tuple(map(_proposal, generator.generate(scaled))))


class _FeaturePredictor:
    """What segment-anything's generator asks of its predictor, where the image's features are there already."""

    def __init__(
        self, sam: SegmentAnything, image: np.ndarray, features: SamFeatures | None, seen: tuple[int, int]
    ) -> None:
        """seen: (height, width) of the image inside the square that `features` are of."""
        self._sam, self._whole, self._given, self._given_size = sam, image, features, seen
        self.model = SimpleNamespace(mask_threshold=0.0)
        self.transform = self
        self.device = sam.prompt_encoder.no_mask_embed.weight.device

    def set_image(self, image: np.ndarray) -> None:
        """The whole image or a crop of it."""
        self._size = image.shape[:2]
        if self._given is not None and image.shape == self._whole.shape:
            self._features, self._inside = self._given, self._given_size
            return
        side, dtype = self._sam.config.image_size, self._sam.image_encoder.pos_embed.dtype
        self._inside = sam_resized_size(*self._size, side)
        with torch.no_grad():
            self._features = self._sam.encode(sam_preprocess(image, side).to(self.device, dtype))

    def reset_image(self) -> None:
        """Forgets the image."""
        del self._features

    def apply_coords(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Points (n, 2) as x, y in pixels of the image -> of the square."""
        return points * np.array([self._inside[1] / size[1], self._inside[0] / size[0]])

    @torch.no_grad()
    def predict_torch(
        self, points: Tensor, labels: Tensor, multimask_output: bool, return_logits: bool
    ) -> tuple[Tensor, Tensor, None]:
        """Mask logits (n, 3, H, W) float32 at the image's size, and the IoU (n, 3) that each is expected to have."""
        masks, ious = self._sam.decode_points(self._features, points, labels)
        side, (height, width) = self._sam.config.image_size, self._inside
        square = F.interpolate(masks.float(), (side, side), mode="bilinear", align_corners=False)
        inside = square[..., :height, :width]
        return F.interpolate(inside, self._size, mode="bilinear", align_corners=False), ious.float(), None


def _proposal(found: dict[str, object]) -> Proposal:
    (point,) = found["point_coords"]
    return Proposal(
        compressed(found["segmentation"]["counts"]), int(found["area"]), tuple(found["bbox"]),
        found["predicted_iou"], found["stability_score"], tuple(point), tuple(found["crop_box"]),
    )  # fmt: skip
