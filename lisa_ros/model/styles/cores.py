"""CoReS (arXiv 2404.05673): an answer looks twice, at the place where a thing usually is and then at the thing."""

from collections.abc import Mapping
from typing import ClassVar

from lisa_ros.model.styles.lisa import LisaStyle
from lisa_ros.types import LOC, SEG, EventKind


class CoresStyle(LisaStyle):
    """LISA's questions, answered in two steps.

    The coarse mask of the n-th [SEG_SEMA] of an image, as raw low-resolution logits, is SAM's mask prompt for the n-th
    [SEG]. An example of such an answer stands in front of the first question (prompt template "two_step").

    The sentences are this project's own. A checkpoint that was trained with others says so in its config.json:
    `system_prompt` is what stands in front of the first question, `mask_query` the questions and the answer.
    """

    name = "cores"
    tokens: ClassVar[Mapping[str, EventKind]] = {"[SEG_SEMA]": LOC, "[SEG]": SEG}
    architectures = ("CORESForCausalLM",)
    conv_type = "two_step"
    answers = (
        "Look for it around [SEG_SEMA]. There it is: [SEG].",
        "Such a thing belongs to [SEG_SEMA]. Here it is [SEG].",
        "Its place is [SEG_SEMA], and the mask is [SEG].",
        "First the surroundings, [SEG_SEMA], then the target, [SEG].",
        "Sure. It should be near [SEG_SEMA]. That gives [SEG].",
        "Within [SEG_SEMA] I find [SEG].",
    )
    expected_answer = answers[0]
