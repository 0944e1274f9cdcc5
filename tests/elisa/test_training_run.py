"""The recipe of a 24 GB GPU, run on the CPU: trained, resumed, loaded as a checkpoint, asked."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_variants import ROOT

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.evaluation.candidates.choices import ChoiceScores
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.model.elisa.checkpoint import load_llava
from training.__main__ import main
from training.elisa import loop
from training.elisa.config import RateConfig, cosine_rate, load_elisa_config
from training.elisa.loop import train_elisa

pytestmark = pytest.mark.unit
RECIPE = ROOT / "config" / "training" / "elisa_3090.yaml"
PAPER = ROOT / "config" / "training" / "elisa_paper.yaml"
DATA = ROOT / "tests" / "golden" / "datasets"
CPU = torch.device("cpu")


def small(golden, folder: Path, source: Path | None = None, recipe: Path = RECIPE, **changes):
    """A recipe with the tiny base and records of the miniature ReasonSeg."""
    records = folder / "records"
    if not records.is_dir():
        records.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for split, names in (("train", ("t0", "t1", "t2")), ("val", ("v0", "v1"))):
            lines = [json.dumps(invented(f"{name}.jpg", golden, rng)) for name in names]
            (records / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    config = load_elisa_config(recipe)
    model = dataclasses.replace(
        config.model,
        source=str(source or golden.directory / "llava_base"),
        alphaclip=str(golden.directory / "alphaclip"),
    )
    data = dataclasses.replace(config.data, root=DATA, records=records)
    optimizer = dataclasses.replace(config.optimizer, name="adamw", epochs=2)
    return dataclasses.replace(
        config, model=model, data=data, optimizer=optimizer, run_dir=folder / "run", precision="fp32",
        quantization="none", lora_rank=4, **{"validate_every": 2, **changes},
    )  # fmt: skip


def invented(name, golden, rng):
    """A record of one target and three others, one of which nearly covers it."""
    vectors = rng.normal(size=(4, golden.tower.embedding_dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    corners = ((50, 50), (60, 60), (600, 40), (0, 700))
    boxes = [[[[x, y], [x + 300, y], [x + 300, y + 300], [x, y + 300]]] for x, y in corners]
    return {
        "img": name,
        "gt_embs": vectors[:1].tolist(),
        "sam_embs": vectors[1:].tolist(),
        "gt_shapes": boxes[:1],
        "sam_shapes": boxes[1:],
    }


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "run" / "models" / "elisa.pth", weights_only=True)


def test_parity_of_the_schedule(golden):
    """The official one: one floor for both groups, so that LoRA's rate rises."""
    recorded = golden.json("train")["lr_schedule_50_epochs_[adapter,lora]"]
    for epoch, (adapter, lora) in enumerate(recorded):
        assert cosine_rate(RateConfig(1e-3, 1e-4), epoch, len(recorded)) == pytest.approx(adapter, rel=1e-9)
        assert cosine_rate(RateConfig(1e-6, 1e-4), epoch, len(recorded)) == pytest.approx(lora, rel=1e-9)


def test_the_recipe_runs_and_its_directory_is_a_checkpoint(golden, tmp_path):
    config = small(golden, tmp_path, gradient_checkpointing=False)
    scores = train_elisa(config, CPU)
    assert scores is not None and 0 <= scores.f1 <= 1
    lines = [json.loads(line) for line in (config.run_dir / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and "validation" in lines[1]
    lisa = Lisa.from_pretrained(config.run_dir, device="cpu")
    image = golden.image("images/img0.png")
    half = np.zeros(image.shape[:2], bool)
    half[:30] = True
    frame = lisa.encode(image, Proposals.from_masks([half, ~half], *half.shape))
    result = lisa.chat(frame, "Which half?", max_new_tokens=20)
    assert all(target.candidate.index in (0, 1) for target in result.targets)


def test_a_run_learns(golden, tmp_path):
    """The loss of three questions falls by far, wordings and order drawn anew all the time."""
    config = small(golden, tmp_path)
    optimizer = dataclasses.replace(
        config.optimizer, epochs=20, unknown=0.0, lora=RateConfig(3e-3, 1e-4), adapter=RateConfig(3e-3, 1e-4)
    )
    train_elisa(dataclasses.replace(config, optimizer=optimizer, validate_every=20, gradient_checkpointing=False), CPU)
    lines = [json.loads(line) for line in (config.run_dir / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]


def test_a_resumed_run_ends_as_an_unbroken_one(golden, tmp_path, monkeypatch):
    train_elisa(small(golden, tmp_path / "whole"), CPU)
    config, epoch_of = small(golden, tmp_path / "broken"), loop._epoch

    def broken(*args):
        if args[5] == 1:
            raise KeyboardInterrupt
        return epoch_of(*args)

    monkeypatch.setattr(loop, "_epoch", broken)
    with pytest.raises(KeyboardInterrupt):
        train_elisa(config, CPU)
    monkeypatch.setattr(loop, "_epoch", epoch_of)
    train_elisa(config, CPU)
    whole, resumed = saved(tmp_path / "whole"), saved(tmp_path / "broken")
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


def test_an_untied_head_has_an_adapter_of_its_own(golden, tmp_path):
    """A base whose head is not its embedding, as LLaVA-1.5's: trained, saved, loaded; the base alone is refused."""
    base = tmp_path / "base"
    shutil.copytree(golden.directory / "llava_base", base, copy_function=shutil.copyfile)
    base.chmod(0o755)
    llava = load_llava(golden.directory / "llava_base")
    values = json.loads((base / "config.json").read_text())
    values["tie_word_embeddings"] = values["text_config"]["tie_word_embeddings"] = False
    head = llava.lm_head.weight.detach().clone() * 0.9
    llava.config.tie_word_embeddings = llava.config.text_config.tie_word_embeddings = False
    llava.lm_head.weight = torch.nn.Parameter(head)
    llava.save_pretrained(base)
    written = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(values | {"dtype": written.get("dtype")}))
    config = small(golden, tmp_path, source=base)
    train_elisa(config, CPU)
    lisa = Lisa.from_pretrained(config.run_dir, device="cpu")
    assert lisa.network.head_adapter is not None
    rows = lisa.network.rows(torch.randn(3, golden.tower.embedding_dim))
    assert (rows.embedding - rows.head).abs().max() > 1e-3
    weights = {key: value for key, value in saved(tmp_path).items() if not key.startswith("head_adapter.")}
    torch.save(weights, config.run_dir / "models" / "elisa.pth")
    with pytest.raises(CheckpointError, match="adapter for the head"):
        Lisa.from_pretrained(config.run_dir, device="cpu")


def test_the_best_checkpoint_is_kept(golden, tmp_path, monkeypatch):
    """By F1 of the validations, the first of equal ones, also over an interruption; before any, the last one."""
    f1 = iter([0.5, 0.2, 0.5, 0.6])
    scores = lambda value: ChoiceScores(0.0, 0.0, 0.0, value)  # noqa: E731
    monkeypatch.setattr(loop, "validate_elisa", lambda *_: (scores(next(f1)), scores(0.0)))
    config = small(golden, tmp_path, recipe=PAPER, gradient_checkpointing=False)
    kept = []
    for epochs in (2, 3, 4, 5):  # one validation at the end of each run
        optimizer = dataclasses.replace(config.optimizer, epochs=epochs)
        train_elisa(dataclasses.replace(config, optimizer=optimizer, validate_every=50), CPU)
        kept.append(saved(tmp_path)["adapter.mlp.0.weight"])
    lines = [json.loads(line) for line in (config.run_dir / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["saved"]] == [1, 2, 5] and len(lines) == 5
    assert torch.equal(kept[0], kept[1]) and torch.equal(kept[1], kept[2]) and not torch.equal(kept[2], kept[3])


def test_a_gpu_recipe_says_what_it_needs(golden, tmp_path):
    config = small(golden, tmp_path)
    with pytest.raises(ConfigurationError, match="nf4 needs a CUDA device"):
        train_elisa(dataclasses.replace(config, quantization="nf4"), CPU)
    with pytest.raises(ConfigurationError, match="adamw8bit needs a CUDA device"):
        train_elisa(dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, name="adamw8bit")), CPU)


def test_the_command_line_knows_the_recipe(tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(RECIPE.read_text().replace("soft_iou: 0.5 ", "soft_iou: 1.5 "))
    assert main(["train", "--config", str(path)]) == 2
    assert "loss.soft_iou is 1.5" in capsys.readouterr().err
    assert main(["merge", "--config", str(RECIPE), "--out", str(tmp_path)]) == 2
    assert "its run_dir is the checkpoint" in capsys.readouterr().err
