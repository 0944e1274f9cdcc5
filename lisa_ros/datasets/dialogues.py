"""LLaVA's visual instruction data: dialogues about pictures, or about nothing, as turns without targets."""

from pathlib import Path

from lisa_ros.datasets.files import PICTURES, format_of, read_json, whole_text
from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image
from lisa_ros.types import Sample, Turn

IMAGE_MARK = "<image>"
_ROLES = ("human", "gpt")


class DialogueDataset:
    """A file of LLaVA conversations; all turns of a sample belong to one conversation, in their order.

    A row names its picture as `image` or `images`, as text or a list, and has a mark `<image>` for it, once or in every
    question; a row without either is text only, and its sample has no image. LISA takes one picture: rows of several
    pictures or of a video, and rows whose marks do not fit their pictures, cannot be read. Items raise DatasetError or
    InvalidImageError naming file and row.

    Args:
        path: The JSON file.
        images: Folder that the rows' picture names are relative to.
        source: Name of the data set.

    Raises:
        DatasetError: If the file is missing or damaged, or has no conversation.
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
            return tuple(self.images / name for name in _picture_names(self.rows[index]))

    def __getitem__(self, index: int) -> Sample:
        with format_of(self.path, f"row {index}"):
            row = self.rows[index]
            messages = [(message["from"], message["value"]) for message in row["conversations"]]
            turns = _turns([(role, whole_text(_without_mark(text))) for role, text in messages])
            _check_marks(messages, len(_picture_names(row)))
        files = self.files(index)
        return Sample(read_image(*files) if files else None, turns, self.source)


def _picture_names(row: dict) -> list[str]:
    """File names of a row's pictures. Raises DatasetError for another form."""
    for key in ("video", "videos", "audio", "audios"):
        if row.get(key):
            raise DatasetError(f"it is about a {key.removesuffix('s')}; LISA sees pictures alone")
    forms = [found for key in ("image", "images") if (found := _listed(key, row.get(key)))]
    if len(forms) == 2 and forms[0] != forms[1]:
        raise DatasetError(f"image names {forms[0]}, images {forms[1]}; keep one of them")
    names = forms[0] if forms else []
    if not names and (others := [key for key, value in row.items() if key != "id" and _names_picture(value)]):
        raise DatasetError(f"it names a picture as {others[0]!r}, which is not read; name it as 'image'")
    if len(names) > 1:
        raise DatasetError(f"it is about {len(names)} pictures, {', '.join(names)}; LISA sees one")
    return names


def _names_picture(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and one.lower().endswith(PICTURES) for one in values)


def _listed(key: str, value: object) -> list[str]:
    names = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise DatasetError(f"{key} must be a file name, or a list of them, not {str(value)[:80]}")
    return names


def _check_marks(messages: list[tuple[str, str]], pictures: int) -> None:
    """Raises DatasetError unless each picture has its mark in a question, or one picture has it in every question.

    In an answer `<image>` can be a word, as in instructions to programmers.
    """
    marks = [text.count(IMAGE_MARK) for role, text in messages if role == _ROLES[0]]
    repeated = pictures == 1 and set(marks) == {1}
    if sum(marks) != pictures and not repeated:
        raise DatasetError(f"its questions hold {sum(marks)} marks {IMAGE_MARK}, and it names {pictures} pictures")


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
    """LLaVA-Instruct-150K.

    Args:
        root: Has llava_dataset/llava_instruct_150k.json, and the pictures in coco/train2017.

    Returns:
        The data set.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    path = Path(root) / "llava_dataset" / "llava_instruct_150k.json"
    return DialogueDataset(path, Path(root) / "coco" / "train2017", "llava_instruct_150k")


def llava_v1_5_mix665k(root: Path) -> DialogueDataset:
    """The instruction mixture of LLaVA-1.5.

    Args:
        root: Has llava_dataset/llava_v1_5_mix665k.json; the pictures' paths are relative to it.

    Returns:
        The data set.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    return DialogueDataset(Path(root) / "llava_dataset" / "llava_v1_5_mix665k.json", Path(root), "llava_v1_5_mix665k")
