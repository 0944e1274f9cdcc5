"""The data sets that a run's YAML may name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lisa_ros.datasets import dialogues, parts, semantic
from lisa_ros.datasets.false_premises import AbsentClasses, FalsePremises
from lisa_ros.datasets.llmseg40k import LlmSeg40kDataset
from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import OTHER_SPLITS, SPLITS, ReferDataset
from lisa_ros.datasets.semantic import SemanticDataset
from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.styles import DEFAULT_STYLE, Style, get_style
from lisa_ros.types import Sample
from training.config.sections import DataConfig
from training.data.hybrid import DatasetGroup, DatasetReader, HybridStream
from training.data.items import Renderer
from training.data.paraphrase import read_paraphrases

TRUTH = "truth"  # in the place of a file of proposals
_SCENES = {"train": 1 << 40, "val": 200, "heldout": 200}


class TabletopReader(TabletopDataset):
    """The tabletop world as a data set of the mixture."""

    def __init__(self, split: str) -> None:
        super().__init__(split, _SCENES[split])

    def key(self, index: int) -> str:
        """The scene's number."""
        return str(index)


class FirstWording(Sequence):
    """A data set of which the first turn alone is asked, as LISA's validation does with ReasonSeg."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples, self.source = samples, samples.source

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        """Name of the sample."""
        return self.samples.key(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample is read from."""
        return self.samples.files(index)

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        return replace(sample, turns=tuple(sample.turns[:1]))


def _refer(name: str, split: str, root: Path, by: str | None = None) -> ReferDataset:
    return ReferDataset(root, name, split, by)


def _absent(opener: Callable[[Path], SemanticDataset], root: Path) -> AbsentClasses:
    data = opener(root)
    return AbsentClasses(data, [name for name in data.names.values() if name])


def _absent_parts(root: Path) -> AbsentClasses:
    data = parts.pascal_part(root)
    return AbsentClasses(data, [wordings[0] for wordings in data.names.values()])


TRAINING: Mapping[str, Callable[[Path], DatasetReader]] = {
    "ade20k": semantic.ade20k,
    "cocostuff": semantic.coco_stuff,
    "mapillary": semantic.mapillary,
    "paco_lvis": parts.paco_lvis,
    "pascal_part": parts.pascal_part,
    "ade20k|absent": partial(_absent, semantic.ade20k),
    "cocostuff|absent": partial(_absent, semantic.coco_stuff),
    "mapillary|absent": partial(_absent, semantic.mapillary),
    "pascal_part|absent": _absent_parts,
    **{name: partial(_refer, name, "train") for name in SPLITS},
    **{f"{name}|{by}": partial(_refer, name, "train", by=by) for name, by in OTHER_SPLITS.items()},
    "llava_instruct_150k": dialogues.llava_instruct_150k,
    "llava_v1_5_mix665k": dialogues.llava_v1_5_mix665k,
    "ReasonSeg|train": lambda root: ReasonSegDataset(root, "train"),
    "ReasonSeg|train|explanatory": lambda root: ReasonSegDataset(root, "train", explanatory=True),
    "ReasonSeg|train|false_premises": lambda root: FalsePremises(ReasonSegDataset(root, "train", false_premises=True)),
    "LLMSeg-40K|train": lambda root: LlmSeg40kDataset(root, "train"),
    "tabletop": lambda root: TabletopReader("train"),
}
VALIDATION: Mapping[str, Callable[[Path], Sequence[Sample]]] = {
    "ReasonSeg|val": lambda root: FirstWording(ReasonSegDataset(root, "val")),
    "ReasonSeg|test": lambda root: FirstWording(ReasonSegDataset(root, "test")),
    **{
        f"{name}|{by}|{split}": partial(_refer, name, split)
        for name, (by, splits) in SPLITS.items()
        for split in splits
        if split != "train"
    },
    **{
        f"{name}|{by}|{split}": partial(_refer, name, split, by=by)
        for name, by in OTHER_SPLITS.items()
        for split in SPLITS[name][1]
        if split != "train"
    },
    "LLMSeg-40K|validation": lambda root: LlmSeg40kDataset(root, "validation"),
    "LLMSeg-40K|test": lambda root: LlmSeg40kDataset(root, "test"),
    "tabletop|val": lambda root: TabletopReader("val"),
    "tabletop|heldout": lambda root: TabletopReader("heldout"),
}


def open_items(data: DataConfig, seed: int, style: Style | None = None) -> HybridStream:
    """The training stream. style: of the network, None for LISA's.

    Raises ConfigurationError for an unknown name, DatasetError for files that lack.
    """
    attach = proposal_attacher(data.proposals, data.root)
    groups = {
        name: DatasetGroup(group.weight, tuple(attach(_known(one, TRAINING, "data")(data.root)) for one in group.sets))
        for name, group in data.groups.items()
    }
    paraphrases = read_paraphrases(data.paraphrases) if data.paraphrases else {}
    style = style or get_style(DEFAULT_STYLE)
    if style.chooses != bool(data.proposals):
        raise ConfigurationError(
            f"style {style.name} {'needs' if style.chooses else 'draws its masks and has no use for'} data.proposals"
        )
    renderer = Renderer(data.max_turns, data.text_answers, paraphrases, style, data.correction_masks, data.multi_turn)
    return HybridStream(groups, renderer, seed, data.skip_limit, data.swapped_phrases)


def samples_lines(data: DataConfig, stream: HybridStream) -> list[str]:
    """A line for each group of the stream: its share, its data sets and their samples."""
    lines = []
    for (name, config), group, share in zip(data.groups.items(), stream.groups, stream.shares, strict=True):
        sets = (f"{one} {len(reader)} samples" for one, reader in zip(config.sets, group.readers, strict=True))
        lines.append(f"{name} ({share:.0%}): {', '.join(sets)}")
    return lines


def proposal_attacher(files: Sequence[str], root: Path) -> Callable[[DatasetReader], DatasetReader]:
    """What gives a data set's samples their proposals, see DataConfig. Raises DatasetError, ConfigurationError."""
    if not files:
        return lambda reader: reader
    if TRUTH in files and len(files) > 1:
        raise ConfigurationError(f"data.proposals names {TRUTH!r} beside files; give one or the other")
    stored = None if TRUTH in files else StoredProposals(*(root / file for file in files))
    return lambda reader: WithProposals(reader, stored)


def open_validation(names: Sequence[str], root: Path, proposals: Sequence[str] = ()) -> dict[str, Sequence[Sample]]:
    """Validation sets by name, with their proposals.

    Raises ConfigurationError for an unknown name, DatasetError for files that lack.
    """
    attach = proposal_attacher(proposals, root)
    found = {name: attach(_known(name, VALIDATION, "validation.data")(root)) for name in names}
    if empty := [name for name, samples in found.items() if not len(samples)]:
        raise ConfigurationError(f"validation.data: {empty[0]} holds no samples below {root}; look at data.root")
    return found


def _known(name: str, table: Mapping[str, Callable], key: str) -> Callable:
    if name not in table:
        raise ConfigurationError(f"{key} names {name!r}; there are {', '.join(table)}")
    return table[name]
