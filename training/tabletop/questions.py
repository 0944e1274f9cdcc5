"""Questions about tabletop scenes as packed token ids, and what the language stages share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lisa_ros.model.config import SHARED_TOWER, LisaConfig
from lisa_ros.model.prompts import get_template, question_about_image
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, SEG_TOKEN, LisaTokenizer
from lisa_ros.simulator import TabletopQuery, generate_scene, scene_queries
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.simulator.wordings.facts import CLASSES
from training.errors import TrainingError
from training.tabletop.config import JointStageConfig, LanguageStageConfig, TabletopTrainConfig
from training.tabletop.distributed import start
from training.tabletop.packing import IGNORE_INDEX, PackedBatch, PackedConversation, pack
from training.tabletop.scenes import (
    CATEGORY_COUNT,
    HEIGHT,
    WIDTH,
    SceneBatch,
    scene_batches,
    soft_masks,
)
from training.tabletop.tokenizer import ADDED_TOKENS, write_tokenizer

CONV_TYPE = "plain"
MASK_ONLY_SHARE = 0.15  # answers that are nothing but one mask, so that the mask-only mode is trained
SEG_THRESHOLD = 0.03
NOWHERE = -1
DECISIONS = ("in", "is", "are")  # "The mug in red", "The mug is not here", "The scissors are not here"
KINDS = {
    "category": 0.1, "attribute": 0.13, "affordance": 0.09, "knowledge": 0.09, "relation": 0.08, "superlative": 0.1,
    "group": 0.07, "mixed": 0.14, "exclusion": 0.04, "ordinal": 0.06, "everyday": 0.1,
}  # fmt: skip
ABSENT_SHARE = 0.27  # of the questions; those of KINDS ask for absent things too
# Of reference answers; see lisa_ros.simulator.query.
ANSWER_WORDS = (
    *CATEGORIES, *COLOURS, *dict.fromkeys(" ".join(CLASSES).split()),
    *"the in is are not here there nothing like that and but or other thing".split(),  # noqa: SIM905
)  # fmt: skip
TOKENIZER_SCENES = range(4_000_000, 4_000_400)  # scenes that no stage trains on


@dataclass(frozen=True)
class QuestionBatch:
    """Scenes with packed conversations.

    targets (m, 64, 64): soft masks, numbered as `packed.masks` says; target_ids: the instances of each.
    pointing (p, 2): image and position of states that must point; pointing_targets (p,): at which target.
    names (B, L): for every label, the class word that comes next in its answer.
    decisions (B, L) bool: labels that say whether what was named is there, and the first word of each answer.
    attention_positions (q, 2): image and position of the states that write sentences; attention_targets (q,): the
    target whose mask comes next in the sentence, NOWHERE in one without masks. What follows a sentence's last mask, and
    what a correction offers, is left out.
    """

    scenes: SceneBatch
    packed: PackedBatch
    targets: Tensor
    pointing: Tensor
    pointing_targets: Tensor
    target_ids: list[tuple[int, ...]]
    names: Tensor
    decisions: Tensor
    attention_positions: Tensor
    attention_targets: Tensor


class QuestionCollator:
    """Renders queries about scenes into token ids."""

    def __init__(self, tokenizer: LisaTokenizer) -> None:
        self.tokenizer = tokenizer
        self.template = get_template(CONV_TYPE)
        ids = self._ids("x", None)
        image = ids.index(IMAGE_TOKEN_ID)
        self.before, self.after = ids[:image], ids[image + 1 : image + 2]
        self._shared = image + 2
        self._classes = set(word_ids(tokenizer)[:CATEGORY_COUNT])
        self._decisions = torch.tensor([tokenizer.encode(f"the mug {word}", bos=False)[-1] for word in DECISIONS])
        self._ends = {tokenizer.encode(text, bos=False)[-1] for text in (f"{SEG_TOKEN}.", "here.")}
        self._comma = tokenizer.encode("red,", bos=False)[-1]

    def _ids(self, question: str, answer: str | None) -> list[int]:
        return self.tokenizer.encode_prompt(self.template.render([(question_about_image(question, True), answer)]))

    def conversation(self, question: str, answer: str, masks: list[int]) -> PackedConversation:
        """Token ids of one question and answer behind the shared prefix."""
        prompt, whole = self._ids(question, None), self._ids(question, answer)
        if whole[: len(prompt)] != prompt:
            raise TrainingError(f"the answer changes the tokens of its question: {question!r}")
        return PackedConversation(prompt[self._shared :], whole[len(prompt) :], masks)

    def __call__(
        self, batch: SceneBatch, questions: int, rng: np.random.Generator, visual_tokens: int
    ) -> QuestionBatch:
        """Random questions about every scene of a batch."""
        ids: list[tuple[int, ...]] = []
        images: list[int] = []
        talks, unions = [], []
        for index, scene in enumerate(batch.scenes):
            row = []
            for query in scene_queries(scene, rng, "train", questions, ABSENT_SHARE, KINDS):
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
        attention_positions, attention_targets = self._attention_positions(packed)
        starts = first_labels(packed.labels) & (packed.labels != self.tokenizer.seg_id)
        return QuestionBatch(
            scenes=batch,
            packed=packed,
            targets=soft_masks(batch.instances, ids, images),
            pointing=torch.cat([begins[:, :2], packed.states]),
            pointing_targets=torch.cat([begins[:, 2], packed.masks]),
            target_ids=ids,
            names=self._next_names(packed.labels),
            decisions=torch.isin(packed.labels, self._decisions) | starts,
            attention_positions=attention_positions,
            attention_targets=attention_targets,
        )

    def _render(
        self,
        query: TabletopQuery,
        union: int,
        ids: list[tuple[int, ...]],
        images: list[int],
        index: int,
        rng: np.random.Generator,
    ) -> PackedConversation:
        if union >= 0 and rng.random() < MASK_ONLY_SHARE:
            return self.conversation(query.text, f"{SEG_TOKEN}.", [union])
        masks = []
        for target in query.target_ids:
            masks.append(len(ids))
            ids.append((target,))
            images.append(index)
        return self.conversation(query.text, query.answer, masks)

    def _sentences(self, labels: list[int]) -> Iterator[list[int]]:
        """Positions of the labels of each sentence of the answers in a row; the end of an answer is one of its own."""
        sentence: list[int] = []
        for position, label in enumerate(labels):
            if label != IGNORE_INDEX:
                sentence.append(position)
            if sentence and (label == IGNORE_INDEX or label in self._ends):
                yield sentence
                sentence = []
        if sentence:
            yield sentence

    def _attention_positions(self, packed: PackedBatch) -> tuple[Tensor, Tensor]:
        """`attention_positions` and `attention_targets` of a QuestionBatch."""
        targets = dict(zip(map(tuple, packed.states.tolist()), packed.masks.tolist(), strict=True))
        positions, found = [], []
        for image, labels in enumerate(packed.labels.tolist()):
            for sentence in self._sentences(labels):
                following: int | None = None
                for position in reversed(sentence):
                    following = targets.get((image, position), following)
                    if following is not None:
                        positions.append((image, position))
                        found.append(following)
                if following is None:
                    for position in sentence:
                        if labels[position] == self._comma:
                            break
                        positions.append((image, position))
                        found.append(NOWHERE)
        return torch.tensor(positions).reshape(-1, 2), torch.tensor(found, dtype=torch.long)

    def _next_names(self, labels: Tensor) -> Tensor:
        """For every label of an answer the next class word at or behind it in its sentence, IGNORE_INDEX if none."""
        names = torch.full_like(labels, IGNORE_INDEX)
        for row, tokens in enumerate(labels.tolist()):
            for sentence in self._sentences(tokens):
                following = IGNORE_INDEX
                for position in reversed(sentence):
                    if tokens[position] in self._classes:
                        following = tokens[position]
                    names[row, position] = following
        return names


def question_batches(
    collator: QuestionCollator,
    scenes: Iterator[tuple[int, SceneBatch]],
    questions: int,
    cells: int,
    seed: tuple[int, int],
) -> Iterator[tuple[QuestionBatch, np.random.Generator]]:
    """Questions about every batch of scenes, with the generator that drew them; `seed` and the step decide the draw."""
    for step, batch in scenes:
        rng = np.random.default_rng((seed[0], step, seed[1]))
        yield collator(batch, questions, rng, cells), rng


def question_stream(
    collator: QuestionCollator, options: LanguageStageConfig | JointStageConfig, cells: int, seed: int, first_scene: int
) -> Callable[[int], Iterator[tuple[QuestionBatch, np.random.Generator]]]:
    """stream(step): this process's question batches from a step on. cells: of an image; seed: of the stage."""
    rank, world = start()

    def stream(first_step: int) -> Iterator[tuple[QuestionBatch, np.random.Generator]]:
        scenes = scene_batches(options.batch_size, rank, world, first_step, first_scene)
        return question_batches(collator, scenes, options.questions_per_scene, cells, (seed, rank))

    return stream


def lisa_config(config: TabletopTrainConfig) -> LisaConfig:
    """The small model in the terms of a LISA checkpoint."""
    model = config.model
    return LisaConfig(
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_hidden_layers,
        num_attention_heads=model.num_attention_heads,
        vocab_size=model.vocab_size + len(ADDED_TOKENS),
        sam=model.sam(),
        max_position_embeddings=1024,
        vision_tower=SHARED_TOWER,
        mm_hidden_size=2 * model.prompt_embed_dim,
        tie_word_embeddings=True,
        conv_type=CONV_TYPE,
        mask_query={"phrase": "{text}", "sentence": "{text}"},
        answer_words=ANSWER_WORDS,
        seg_threshold=SEG_THRESHOLD,
    )


def word_ids(tokenizer: LisaTokenizer) -> list[int]:
    """Token ids of the words of all classes and colours; raises TrainingError if one is not a single token."""
    ids = []
    for word in (*CATEGORIES, *COLOURS):
        pieces = tokenizer.encode(f"the {word}", bos=False)[1:]
        if len(pieces) != 1:
            raise TrainingError(f"{word!r} is {len(pieces)} tokens; train the tokenizer with a larger vocab_size")
        ids += pieces
    return ids


def first_labels(labels: Tensor) -> Tensor:
    """Where answers begin: labels (B, L) -> (B, L) bool."""
    labelled = labels != IGNORE_INDEX
    return labelled & ~torch.nn.functional.pad(labelled, (1, 0))[:, :-1]


def sample_texts(questions: int = 80) -> Iterator[str]:
    """Questions and answers of the training split, for the tokenizer."""
    rng = np.random.default_rng(0)
    for seed in TOKENIZER_SCENES:
        for query in scene_queries(generate_scene(seed, HEIGHT, WIDTH), rng, "train", questions):
            yield f"USER: {query.text} ASSISTANT:"
            yield query.answer.replace(SEG_TOKEN, "")


def tokenizer_of(config: TabletopTrainConfig) -> LisaTokenizer:
    """The run's tokenizer, trained on first use."""
    directory = config.run_dir / "tokenizer"
    if not (directory / "tokenizer.model").exists():
        write_tokenizer(sample_texts(), config.model.vocab_size, directory)
    return LisaTokenizer.from_directory(directory)
