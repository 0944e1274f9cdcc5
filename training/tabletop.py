"""Stage 2 of the tabletop recipe: the whole small LISA on questions about scenes, with LISA's losses.

Besides LISA's losses, two heads that are thrown away keep the small model on course: the dense head of stage 1, and a
pointing head, which asks of the states that begin the answer and that predict [SEG] where the target lies.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.model.checkpoint import save_pretrained
from lisa_ros.model.config import SHARED_TOWER, LisaConfig
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.prompts import get_template, question_about_image
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, SEG_TOKEN, LisaTokenizer
from lisa_ros.simulator import TabletopQuery, generate_scene, scene_queries
from training.distributed import start
from training.loop import LoopOptions, TrainingError, fit
from training.losses import answer_loss, mask_losses, soft_iou
from training.packing import IGNORE_INDEX, Conversation, PackedBatch, pack
from training.scenes import HEIGHT, STRIDE, WIDTH, SceneBatch, scene_batches, soft_masks
from training.settings import Settings
from training.tokenizer import ADDED_TOKENS, write_tokenizer
from training.vision import DenseHead

CONV_TYPE = "plain"
MASK_ONLY_SHARE = 0.15  # answers that are nothing but one mask, so that the mask-only mode is trained
MASKS_PER_SCENE = 5  # decoded a step; every answer trains the language model all the same
DENSE_WEIGHT = 0.5
POINTING_WEIGHT = 0.3
SEG_THRESHOLD = 0.03
FIRST_SCENE = 10_000_000  # scenes that stage 1 does not see


@dataclass(frozen=True)
class QuestionBatch:
    """Scenes with packed conversations. targets (m, 64, 64): soft masks, numbered as `packed.masks` says.

    pointing: (p, 2) image and position of states that must point, and (p,) the number of their target.
    """

    scenes: SceneBatch
    packed: PackedBatch
    targets: Tensor
    pointing: Tensor
    pointing_targets: Tensor


class Asker:
    """Renders queries about scenes into token ids."""

    def __init__(self, tokenizer: LisaTokenizer) -> None:
        self.tokenizer = tokenizer
        self.template = get_template(CONV_TYPE)
        ids = self._ids("x", None)
        image = ids.index(IMAGE_TOKEN_ID)
        self.before, self.after = ids[:image], ids[image + 1 : image + 2]
        self._shared = image + 2

    def _ids(self, question: str, answer: str | None) -> list[int]:
        return self.tokenizer.encode_prompt(self.template.render([(question_about_image(question, True), answer)]))

    def conversation(self, question: str, answer: str, masks: list[int]) -> Conversation:
        """Token ids of one question and answer behind the shared prefix."""
        prompt, whole = self._ids(question, None), self._ids(question, answer)
        if whole[: len(prompt)] != prompt:
            raise TrainingError(f"the answer changes the tokens of its question: {question!r}")
        return Conversation(prompt[self._shared :], whole[len(prompt) :], masks)

    def ask(self, batch: SceneBatch, questions: int, rng: np.random.Generator, visual_tokens: int) -> QuestionBatch:
        """Random questions about every scene of a batch."""
        ids: list[tuple[int, ...]] = []
        images: list[int] = []
        talks, unions = [], []
        for index, scene in enumerate(batch.scenes):
            row = []
            for query in scene_queries(scene, rng, "train", questions):
                union = -1
                if query.target_ids:
                    union = len(ids)
                    ids.append(tuple(query.target_ids))
                    images.append(index)
                row.append(self._render(query, union, ids, images, index, rng))
                unions.append((index, len(row), union))
            talks.append(row)
        packed = pack(self.before, visual_tokens, self.after, talks, self.tokenizer.seg_id)
        first = {(b, k): len(talks[b][k - 1].prompt) for b, k, _ in unions}
        begins = []
        for b, k, union in unions:
            if union >= 0:
                start_of_block = int((packed.blocks[b] == k).nonzero()[0])
                begins.append((b, start_of_block + first[b, k] - 1, union))
        begins = torch.tensor(begins, dtype=torch.long).reshape(-1, 3)
        return QuestionBatch(
            scenes=batch,
            packed=packed,
            targets=soft_masks(batch.instances, ids, images),
            pointing=torch.cat([begins[:, :2], packed.states]),
            pointing_targets=torch.cat([begins[:, 2], packed.masks]),
        )

    def _render(
        self,
        query: TabletopQuery,
        union: int,
        ids: list[tuple[int, ...]],
        images: list[int],
        index: int,
        rng: np.random.Generator,
    ) -> Conversation:
        if union >= 0 and rng.random() < MASK_ONLY_SHARE:
            return self.conversation(query.text, f"{SEG_TOKEN}.", [union])
        masks = []
        for target in query.target_ids:
            masks.append(len(ids))
            ids.append((target,))
            images.append(index)
        return self.conversation(query.text, query.answer, masks)


def lisa_config(settings: Settings) -> LisaConfig:
    """The small model in the terms of a LISA checkpoint."""
    model = settings.model
    return LisaConfig(
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_hidden_layers,
        num_attention_heads=model.num_attention_heads,
        vocab_size=model.vocab_size + len(ADDED_TOKENS),
        sam=model.sam(),
        max_position_embeddings=1024,
        vision_tower=SHARED_TOWER,
        mm_hidden_size=model.prompt_embed_dim,
        conv_type=CONV_TYPE,
        mask_query={"phrase": "{text}", "sentence": "{text}"},
        seg_threshold=SEG_THRESHOLD,
    )


class PointingHead(nn.Module):
    """Scores of a state against every visual token: states (p, H) and tokens (p, N, H) -> (p, N)."""

    def __init__(self, hidden_size: int, width: int = 128) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, width)
        self.key = nn.Linear(hidden_size, width)

    def forward(self, states: Tensor, tokens: Tensor) -> Tensor:
        return torch.einsum("pd,pnd->pn", self.query(states), self.key(tokens)) / self.query.out_features**0.5


class TabletopStage(nn.Module):
    """LisaNetwork with the two helper heads."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        config = lisa_config(settings)
        self.network = LisaNetwork(config)
        self.dense = DenseHead(config.sam)
        self.pointing = PointingHead(config.hidden_size)

    def losses(self, batch: QuestionBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """LISA's losses and those of the helper heads."""
        network, packed = self.network, batch.packed
        embedding, maps = network.sam.image_encoder(batch.scenes.images)
        features = network.sam.features_of(embedding, maps)
        visual = network.visual_tokens(features, None)
        first, last = packed.visual
        inputs = network.embed(packed.ids)
        inputs = torch.cat([inputs[:, :first], visual, inputs[:, last:]], dim=1)
        hidden = network.hidden_states(
            inputs, attention_mask=packed.attention_mask(inputs.dtype), position_ids=packed.positions
        )
        told = packed.labels != IGNORE_INDEX
        logits = network.logits(hidden[told])
        answer = answer_loss(logits, packed.labels[told])
        masked, iou = self._mask_losses(features, hidden, batch, rng)
        dense, miou = self.dense.loss(embedding, maps, batch.scenes)
        pointed = self._pointing_loss(hidden, visual, batch)
        return {
            "loss": answer + masked + DENSE_WEIGHT * dense + POINTING_WEIGHT * pointed,
            "answer": answer.detach(),
            "token_accuracy": (logits.argmax(-1) == packed.labels[told]).float().mean(),
            "mask": masked.detach(),
            "iou": iou,
            "pointing": pointed.detach(),
            "dense": dense.detach(),
            "miou": miou,
        }

    def _mask_losses(
        self, features: object, hidden: Tensor, batch: QuestionBatch, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        count = len(batch.packed.states)
        chosen = torch.from_numpy(rng.permutation(count)[: MASKS_PER_SCENE * len(batch.scenes.scenes)])
        image, position = batch.packed.states[chosen].unbind(1)
        head = self.network.head
        logits = head.decode(features.select(image), head.embed(hidden[image, position]))[:, 0]
        rows = batch.scenes.valid_rows
        logits, truth = logits[:, :rows], batch.targets[batch.packed.masks[chosen]][:, :rows]
        return mask_losses(logits, truth).total, soft_iou(logits.detach(), truth).mean()

    def _pointing_loss(self, hidden: Tensor, visual: Tensor, batch: QuestionBatch) -> Tensor:
        image, position = batch.pointing.unbind(1)
        scores = self.pointing(hidden[image, position], visual[image])
        cells = nn.functional.avg_pool2d(batch.targets[batch.pointing_targets][:, None], 16 // STRIDE).flatten(1)
        cells = cells / cells.sum(1, keepdim=True).clamp(min=1e-6)
        return -(cells * scores.log_softmax(-1)).sum(1).mean()


def sample_texts(scenes: int = 400, questions: int = 80) -> Iterator[str]:
    """Questions and answers of the training split, for the tokenizer."""
    rng = np.random.default_rng(0)
    for seed in range(FIRST_SCENE - scenes, FIRST_SCENE):
        for query in scene_queries(generate_scene(seed, HEIGHT, WIDTH), rng, "train", questions):
            yield f"USER: {query.text} ASSISTANT:"
            yield query.answer.replace(SEG_TOKEN, "")


def tokenizer_of(settings: Settings) -> LisaTokenizer:
    """The run's tokenizer, trained on first use."""
    directory = settings.run_dir / "tokenizer"
    if not (directory / "tokenizer.model").exists():
        write_tokenizer(sample_texts(), settings.model.vocab_size, directory)
    return LisaTokenizer.from_directory(directory)


def train(settings: Settings) -> None:
    """Runs or resumes stage 2 from the encoder and decoder of stage 1; the state is in `run_dir/tabletop/last.pt`."""
    rank, world = start()
    torch.set_num_threads(1 if world > 1 else torch.get_num_threads())
    torch.manual_seed(0)
    options = settings.tabletop
    asker = Asker(tokenizer_of(settings))
    stage = TabletopStage(settings)
    _take_over_vision(stage, settings.run_dir / "vision" / "last.pt")
    grid = stage.network.config.sam.grid_size

    def batches(first_step: int) -> Iterator[tuple[QuestionBatch, np.random.Generator]]:
        scenes = scene_batches(options.batch_size, rank, world, first_step, FIRST_SCENE)
        for step, batch in scenes:
            rng = np.random.default_rng((23, step, rank))
            yield asker.ask(batch, options.questions_per_scene, rng, grid**2), rng

    fit(
        stage,
        batches,
        lambda item: stage.losses(*item),
        LoopOptions(steps=options.steps, lr=options.lr),
        settings.run_dir / "tabletop",
        lambda name: options.vision_lr_scale if "visual_model" in name or name.startswith("dense") else 1.0,
    )


def _take_over_vision(stage: TabletopStage, checkpoint: Path) -> None:
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is missing: run `python -m training vision` first")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    for prefix, module in (("sam.", stage.network.sam), ("dense.", stage.dense)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def export(settings: Settings, out: Path) -> None:
    """Writes the trained model as a checkpoint directory that `Lisa.from_pretrained` loads."""
    checkpoint = settings.run_dir / "tabletop" / "last.pt"
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is missing: run `python -m training tabletop` first")
    stage = TabletopStage(settings)
    stage.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    shutil.rmtree(out, ignore_errors=True)
    save_pretrained(stage.network, settings.run_dir / "tokenizer", out, torch.float16)
