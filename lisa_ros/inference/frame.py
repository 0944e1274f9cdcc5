"""An image as the network sees it, computed once and asked many times."""

from dataclasses import dataclass

from torch import Tensor

from lisa_ros.inference.generation import Prefix
from lisa_ros.inference.regions import NO_PROPOSALS, Regions
from lisa_ros.model.sam import SamFeatures


@dataclass(frozen=True)
class EncodedFrame:
    """What `Lisa.encode` returns: everything about an image that no query changes.

    It serves any number of queries to the engine that made it, and is never written to.

    Attributes:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        features: SAM's features of the image, embedding (1, C, g, g), on the engine's device.
        visual: (1, N, hidden_size) tokens of the image for the language model, on the engine's device.
        prefix: Keys and values of the prompt up to the end of the image, shared by all queries.
        seconds: Wall time of the encoding.
        owner: Mark of the engine that made it; another one does not accept the frame.
        regions: Proposals and their features, for a system that chooses among them; None for one that draws masks.

    Example:
        >>> frame = lisa.encode(image)  # (H, W, 3) uint8 RGB
        >>> mug, plate = lisa.segment(frame, "the mug"), lisa.segment(frame, "the plate")
    """

    height: int
    width: int
    features: SamFeatures
    visual: Tensor
    prefix: Prefix
    seconds: float
    owner: object
    regions: Regions | None = None

    @property
    def reason(self) -> str:
        """Why no query can have a target; "" where one can."""
        return NO_PROPOSALS if self.regions is not None and not len(self.regions.proposals) else ""
