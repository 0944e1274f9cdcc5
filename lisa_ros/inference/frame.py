"""An image as the network sees it, computed once and asked many times."""

from dataclasses import dataclass

from torch import Tensor

from lisa_ros.inference.generation import Prefix
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
