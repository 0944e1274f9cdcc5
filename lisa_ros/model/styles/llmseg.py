"""LLM-Seg (arXiv 2404.08767): LISA's words; the state that predicts [SEG] chooses among proposed masks."""

from typing import ClassVar

from lisa_ros.model.heads import SamPromptHead
from lisa_ros.model.proposal_head import ProposalScoreHead
from lisa_ros.model.styles.lisa import LisaStyle


class LlmSegStyle(LisaStyle):
    """See the module. Its checkpoints name LISA's architecture; weights of the region encoder tell it."""

    name = "llmseg"
    architectures = ()
    head: ClassVar[type[SamPromptHead]] = ProposalScoreHead
    chooses = True
    weight_prefix = "model.lisa_dino_conv."
