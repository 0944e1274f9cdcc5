"""`ElisaEngine`: loads an ELISA, encodes images with their candidate masks, answers queries about them."""

from collections.abc import Mapping
from pathlib import Path

import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.compiled_step import check_compile, compiled_step
from lisa_ros.inference.elisa.model import ElisaModel
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.precision import float_type, place
from lisa_ros.inference.quality import find_calibration
from lisa_ros.model.elisa.checkpoint import elisa_proposals, load_elisa
from lisa_ros.model.elisa.files import ElisaFiles, sam_file
from lisa_ros.model.elisa.network import ElisaConfig
from lisa_ros.model.elisa.style import STYLE_NAMES, elisa_style
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.sam import load_sam


class ElisaEngine(Lisa):
    """What `Lisa` is for LISA, for an ELISA; `Lisa.from_pretrained` returns it where the files are one's.

    Each target of an answer is one of the image's candidate masks, which its `candidate` tells.

    Example:
        >>> lisa = Lisa.from_pretrained("elisa", sam_checkpoint="sam_vit_b_01ec64.pth")
        >>> result = lisa.chat(lisa.encode(image), "What can I cut bread with?")
        >>> result.answer, result.targets[0].candidate.index
        ('The knife, it has a serrated blade.', 7)
    """

    model: ElisaModel

    @classmethod
    def load(
        cls,
        files: ElisaFiles,
        *,
        device: torch.device,
        precision: str,
        compile: str,
        style: str | None,
        base: str | Path | None,
        alphaclip: str | Path | None,
        sam_checkpoint: str | Path | None,
        sam: Mapping[str, object] | None,
        proposal_options: Mapping[str, object] | None,
        quality_calibration: str | Path | None = None,
    ) -> "ElisaEngine":
        """Loads an ELISA; `Lisa.from_pretrained` says what the arguments mean and what is raised."""
        preset, dtype = elisa_style(style), float_type(precision, device)
        check_compile(compile)
        if preset is None:
            raise ConfigurationError(f"{files.weights} is an ELISA; style {style!r} must be {' or '.join(STYLE_NAMES)}")
        with memory_guard(device, "model"):
            checkpoint = load_elisa(files, base=base, alphaclip=alphaclip, closed=preset.closed, dtype=dtype)
            text = checkpoint.network.llava.config.text_config
            config = ElisaConfig(preset.name, preset.mask_query, text.max_position_embeddings)
            checkpoint.network.config = config
            place(checkpoint.network, precision, dtype, device)
            step = compiled_step(checkpoint.network, compile, precision=precision, device=device)
            checkpoint.tower.requires_grad_(False).to(device)
            options = elisa_proposals(files.root, square=not preset.letterbox).changed(proposal_options)
            sam_checkpoint = sam_checkpoint or sam_file(files.root)
            segmenter = None if sam_checkpoint is None else load_sam(sam_checkpoint, sam).to(device)
        name = files.weights.stem
        parts = {"proposal_options": options, "sam": segmenter}
        model = ElisaModel(checkpoint, style=preset, device=device, precision=precision, name=name, **parts)
        model.calibration = find_calibration(quality_calibration, files.root, checkpoint.network)
        model.compiled = step
        return cls(model)
