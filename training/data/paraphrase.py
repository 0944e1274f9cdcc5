"""Further wordings of ReasonSeg's questions: prompts for a language model of your choice, and reading its answers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.errors import ConfigurationError, DatasetError, InvalidQueryError
from lisa_ros.model.query_text import check_query
from lisa_ros.progress import track

_PROMPT = """\
Below is {what} that points at one thing, or one kind of thing, in a photograph that you cannot see. Give {count} \
other ways to put it that a person standing in front of the scene might use. Each must point at exactly the same \
thing: keep every condition, add none, and do not name the thing where the original does not. Vary words and sentence \
structure. Answer with one JSON object and nothing else: {{"text": the original, unchanged, "paraphrases": [{count} \
strings]}}.

{text}"""


def write_prompts(root: Path, out: Path, count: int = 5) -> int:
    """Writes one line {"id", "text", "prompt"} for each question of ReasonSeg's training split; returns how many.

    Send each `prompt` to a language model and append what it answers, one JSON object a line, to the file that
    `read_paraphrases` takes. count: wordings to ask for, at least 1. Raises DatasetError, InvalidImageError,
    ConfigurationError.
    """
    if count < 1:
        raise ConfigurationError(f"--count is {count}; it must be 1 or above")
    rows = [json.dumps(row, ensure_ascii=False) for row in _prompts(ReasonSegDataset(root, "train"), count)]
    try:
        Path(out).write_text("\n".join(rows) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from error
    return len(rows)


def _prompts(data: ReasonSegDataset, count: int) -> Iterator[dict[str, str]]:
    for index in track(range(len(data)), unit="image", keep=False):
        for number, turn in enumerate(data[index].turns):
            what = "a question or instruction" if turn.is_sentence else "a phrase"
            prompt = _PROMPT.format(what=what, count=count, text=turn.question)
            yield {"id": f"{data.key(index)}/{number}", "text": turn.question, "prompt": prompt}


def read_paraphrases(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Wordings by original text, of lines {"text", "paraphrases": [...]}. Raises DatasetError naming file and line."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row["paraphrases"], list):
                raise TypeError("paraphrases must be a list")
            wordings = tuple(check_query(text, None) for text in row["paraphrases"])
            found[row["text"]] = (*found.get(row["text"], ()), *wordings)
        except (ValueError, KeyError, TypeError, InvalidQueryError) as error:
            raise DatasetError(f"{path}, line {number}: {error!r}; it must be text and paraphrases") from error
    return found
