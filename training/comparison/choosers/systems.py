"""One system of the comparison: trained, or resumed, and as an engine that is asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lisa_ros.inference.elisa.engine import ElisaEngine
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.loaded_model import LoadedModel
from lisa_ros.model.checkpoint import load
from lisa_ros.model.elisa.checkpoint import ElisaCheckpoint
from lisa_ros.model.elisa.network import ElisaConfig
from lisa_ros.model.elisa.style import ElisaStyle
from training.comparison.choosers.adapter_pretraining import prepare_adapter
from training.comparison.choosers.config import ChooserComparisonConfig, ChooserConfig
from training.comparison.choosers.elisa_base import PackagedElisaModel, base_parts
from training.comparison.choosers.elisa_stage import MaskWordCollator, MaskWordStage
from training.comparison.choosers.llmseg_stage import (
    ProposalPhraseCollator,
    ProposalPhraseStage,
    llmseg_network,
)
from training.comparison.choosers.points import trained_state
from training.comparison.questions import scene_batches
from training.comparison.train_style import SAVE_EVERY, train_style
from training.model.network import visual_tokens
from training.tabletop.loop import fit
from training.tabletop.scenes import normalise


@dataclass(frozen=True)
class ChooserStage:
    """What is trained of a system.

    Attributes:
        module: The network with its losses.
        collate: Scenes and draws -> a batch.
        engine: The trained network as an engine, to be called once.
        question: A phrase -> how the engine is asked for it.
        begin: What is done before the first step.
    """

    module: nn.Module
    collate: Callable[..., object]
    engine: Callable[[], Lisa]
    question: Callable[[str], str]
    begin: Callable[[], None]


def train_system(config: ChooserComparisonConfig, system: ChooserConfig) -> None:
    """Trains or resumes a system; its state is in run_dir, in the folder of its name."""
    if system.system == "lisa":
        train_style(config, "lisa", system.name)
        return
    directory = config.run_dir / system.name
    stage = _stage(config, system)
    if not (directory / "last.pt").exists():
        directory.mkdir(parents=True, exist_ok=True)
        stage.begin()

    def batches(first_step: int) -> Iterator[object]:
        for scenes, rng in scene_batches(config, first_step):
            yield stage.collate(scenes, rng)

    fit(
        stage.module,
        batches,
        stage.module.losses,
        config.training.loop(SAVE_EVERY),
        directory,
        lambda name: 0.0 if "image_encoder" in name else 1.0,
    )


def trained_engine(config: ChooserComparisonConfig, system: ChooserConfig) -> tuple[Lisa, Callable[[str], str]]:
    """A trained system on the CPU, and how it is asked for a phrase."""
    directory = config.run_dir / system.name
    if system.system == "lisa":
        lisa = Lisa.from_pretrained(directory / "checkpoint", device="cpu", threads=1)
        return lisa, _lisa_question(lisa)
    stage = _stage(config, system)
    stage.module.load_state_dict(trained_state(directory))
    return stage.engine(), stage.question


def _lisa_question(lisa: Lisa) -> Callable[[str], str]:
    query = lisa.network.config.mask_query
    return lambda phrase: lisa.model.style.query_prompts([phrase], query)[0].question


def _stage(config: ChooserComparisonConfig, system: ChooserConfig) -> ChooserStage:
    return (_llmseg if system.system == "llmseg" else _elisa)(config, system)


def _llmseg(config: ChooserComparisonConfig, system: ChooserConfig) -> ChooserStage:
    checkpoint = llmseg_network(config.source)
    module = ProposalPhraseStage(checkpoint.network)

    def engine() -> Lisa:
        model = LoadedModel(checkpoint, device=torch.device("cpu"), precision="fp32", name=system.name)
        model.network.eval().set_attention("sdpa")
        return Lisa(model)

    style, query = checkpoint.network.style, checkpoint.network.config.mask_query
    return ChooserStage(
        module,
        ProposalPhraseCollator(config, checkpoint),
        engine,
        lambda phrase: style.query_prompts([phrase], query)[0].question,
        lambda: None,
    )


def _elisa(config: ChooserComparisonConfig, system: ChooserConfig) -> ChooserStage:
    checkpoint = load(config.source)
    network, tokenizer, embedder = base_parts(checkpoint, system)
    collate = MaskWordCollator(config, system, tokenizer, embedder, visual_tokens(checkpoint.network))
    directory = config.run_dir / system.name
    network.adapter.register_buffer("mean", network.adapter.mean, persistent=True)  # so that last.pt holds it

    def engine() -> Lisa:
        style = ElisaStyle()
        lengths = checkpoint.network.config.max_position_embeddings
        network.config = ElisaConfig(style.name, style.mask_query, lengths)
        network.eval().set_attention("sdpa")
        files = ElisaCheckpoint(network, tokenizer, lambda image: normalise(image)[None], None, Path(config.source), {})
        model = PackagedElisaModel(
            files,
            style=style,
            device=torch.device("cpu"),
            precision="fp32",
            name=system.name,
            proposal_options=config.pools.options(),
            sam=None,
        )
        model.embedder = embedder
        return ElisaEngine(model)

    return ChooserStage(
        MaskWordStage(network, tokenizer),
        collate,
        engine,
        lambda phrase: f"{collate.question(phrase)} {collate.wording.requests[0]}.",
        lambda: prepare_adapter(config, network, collate, directory, system.adapter_pretraining),
    )
