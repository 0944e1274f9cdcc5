"""LLaVA's visual instruction data: dialogues about pictures, or about nothing, as turns without targets."""

from pathlib import Path

from lisa_ros.datasets.files import format_of, read_json, whole_text
from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image
from lisa_ros.types import Sample, Turn

IMAGE_MARK = "<image>"
_ROLES = ("human", "gpt")


class DialogueDataset:
    """A LLaVA conversation file. All turns of a sample belong to one conversation, in their order.

    images: folder that the rows' `image` is below; a row without one is text alone, and so is its sample. Items raise
    DatasetError or InvalidImageError naming file and row.
    """

    def __init__(self, path: Path, images: Path, source: str) -> None:
        self.path, self.images, self.source = Path(path), Path(images), source
        self.rows = read_json(self.path)
        if not isinstance(self.rows, list) or not self.rows:
            raise DatasetError(f"{path} must hold a list of conversations, with at least one")

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, index: int) -> str:
        """The row's id, or its number where it has none."""
        row = self.rows[index]
        return str(row.get("id", index)) if isinstance(row, dict) else str(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """The sample's picture, if it is about one. Raises DatasetError."""
        with format_of(self.path, f"row {index}"):
            image = self.rows[index].get("image")
            return (self.images / image,) if image else ()

    def __getitem__(self, index: int) -> Sample:
        with format_of(self.path, f"row {index}"):
            messages = self.rows[index]["conversations"]
            turns = _turns([(message["from"], whole_text(_without_mark(message["value"]))) for message in messages])
        files = self.files(index)
        return Sample(read_image(*files) if files else None, turns, self.source)


def _turns(messages: list[tuple[str, str]]) -> tuple[Turn, ...]:
    """Questions with their answers; what the assistant says before the first question is left out."""
    if messages and messages[0][0] != _ROLES[0]:
        messages = messages[1:]
    roles = tuple(role for role, _ in messages)
    if not roles or len(roles) % 2 or roles != _ROLES * (len(roles) // 2):
        raise DatasetError(f"human and gpt must take turns, not {', '.join(roles)}")
    texts = [text for _, text in messages]
    return tuple(Turn(q, (), a, "dialogue") for q, a in zip(texts[::2], texts[1::2], strict=True))


def _without_mark(text: str) -> str:
    """The text without the mark of the image, which the prompt template puts first."""
    shortened = text.replace(IMAGE_MARK, "")
    return text if shortened == text else shortened.strip()


def llava_instruct_150k(root: Path) -> DialogueDataset:
    """LLaVA-Instruct-150k: `root`/llava_dataset, pictures in `root`/coco/train2017. Raises DatasetError."""
    path = Path(root) / "llava_dataset" / "llava_instruct_150k.json"
    return DialogueDataset(path, Path(root) / "coco" / "train2017", "llava_instruct_150k")


def llava_v1_5_mix665k(root: Path) -> DialogueDataset:
    """LLaVA-v1.5's mixture: `root`/llava_dataset; its pictures' paths begin below `root`. Raises DatasetError."""
    return DialogueDataset(Path(root) / "llava_dataset" / "llava_v1_5_mix665k.json", Path(root), "llava_v1_5_mix665k")
