"""The tokens of an answer that point into the image."""

from dataclasses import dataclass

from lisa_ros.model.tokenizer import LisaTokenizer

SEG = "SEG"


@dataclass(frozen=True)
class GroundingVocabulary:
    """kinds: token id -> kind of GroundingEvent."""

    kinds: dict[int, str]

    @classmethod
    def of(cls, tokenizer: LisaTokenizer) -> "GroundingVocabulary":
        """The grounding tokens of a tokenizer; raises CheckpointError where one of them is several ids."""
        return cls({tokenizer.seg_id: SEG})
