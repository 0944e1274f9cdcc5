"""The command `compare-choosers`: a process for each system, then the tables."""

from pathlib import Path

import torch

from training.comparison.choosers.adapter_pretraining import pretraining_seconds
from training.comparison.choosers.config import ChooserComparisonConfig, ChooserConfig
from training.comparison.choosers.pictures import draw_answers
from training.comparison.choosers.points import point_sam
from training.comparison.choosers.report import write_report
from training.comparison.choosers.score_system import read_answers, score_system
from training.comparison.choosers.systems import train_system
from training.comparison.compare import run_processes
from training.comparison.report import MARKDOWN
from training.comparison.train_style import core_seconds


def compare_choosers(config: ChooserComparisonConfig, config_file: Path) -> None:
    """Trains and scores every system that is not yet finished, and writes the report into run_dir.

    Args:
        config: Of the comparison.
        config_file: Where it was read from, for the processes of the systems.

    Raises:
        TrainingError: The process of a system failed; its output says why.
    """
    torch.set_num_threads(1)
    point_sam(config)  # for the generator; all processes read it
    run_processes(config, config_file, "compare-choosers", "--system")
    answers = {name: read_answers(config, name) for name in config.names}
    write_report(config, answers, {name: _minutes(config, name) for name in config.names})
    draw_answers(config)
    print((config.run_dir / MARKDOWN).read_text(encoding="utf-8"))


def run_system(config: ChooserComparisonConfig, system: ChooserConfig) -> None:
    """What the process of one system does: training, then scoring, each resumed where it was interrupted."""
    torch.set_num_threads(1)
    train_system(config, system)
    score_system(config, system)


def _minutes(config: ChooserComparisonConfig, name: str) -> float:
    directory = config.run_dir / name
    return (core_seconds(directory / "log.jsonl") + pretraining_seconds(directory)) / 60
