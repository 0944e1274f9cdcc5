"""The files in which a comparison keeps what became of each question: rows of JSON, a scene's together."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from training.comparison.config import ComparisonBase
from training.errors import TrainingError

FIRST_SCENE = 30_000_000  # scenes that nothing is trained on

Row = TypeVar("Row")


def scene_seeds(config: ComparisonBase) -> range:
    """Of the scenes that are asked about."""
    return range(FIRST_SCENE, FIRST_SCENE + config.evaluation.scenes)


def answers_path(config: ComparisonBase, name: str) -> Path:
    """File of the answers of what is compared, after that many steps: a run that is prolonged asks again."""
    return config.run_dir / name / f"answers_{config.training.steps}_steps.jsonl"


def append_answers(config: ComparisonBase, name: str, rows: Iterable[Row]) -> None:
    """Writes the rows (dataclasses) of one scene together, so that an interrupted run leaves whole scenes."""
    lines = [json.dumps(asdict(row)) + "\n" for row in rows]
    with open(answers_path(config, name), "a", encoding="utf-8") as file:
        file.write("".join(lines))


def read_rows(config: ComparisonBase, name: str, row_type: type[Row]) -> list[Row]:
    """The rows about the configuration's scenes that are there. Raises TrainingError naming a line that is damaged."""
    path, rows = answers_path(config, name), []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(row_type(**json.loads(line)))
        except (json.JSONDecodeError, TypeError) as error:
            raise TrainingError(f"{path}, line {number} is damaged: {error}; delete the file to ask again") from None
    return [row for row in rows if row.scene in scene_seeds(config)]
