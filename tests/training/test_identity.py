"""A checkpoint belongs to its base and its settings: with others it is refused, or accepted by name."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from golden_training import TINY
from small_run import reset_accelerate, train, train_config, validation_samples

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.weights import read_weights
from training import commands as run
from training.__main__ import main
from training.errors import TrainingError
from training.loop.run_directory import RunDirectory, TrainingCheckpoint, read_checkpoint
from training.model.identity import NAMES, check_identity
from training.model.network import build

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    reset_accelerate()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a run of three steps."""
    path = tmp_path_factory.mktemp("trained")
    train(train_config(path, steps=3), validations={"golden": validation_samples()})
    reset_accelerate()
    return path


def other_base(place, part="model.layers.0.mlp.up_proj.weight", factor=1.001):
    """The reference LISA with one weight changed a little."""
    directory = shutil.copytree(TINY.directory / "lisa_hf", place / "base")
    weights = torch.load(directory / "pytorch_model.bin", weights_only=True)
    torch.save(weights | {part: weights[part].float() * factor}, directory / "pytorch_model.bin")
    return directory


def other_tower(place):
    directory = shutil.copytree(TINY.directory / "clip_tiny", place / "tower")
    weights = torch.load(directory / "pytorch_model.bin", weights_only=True)
    name = next(name for name in weights if name.endswith("layers.0.mlp.fc1.weight"))
    torch.save(weights | {name: weights[name] * 1.01}, directory / "pytorch_model.bin")
    return directory


def changed(base, name, place):
    """The settings of the run with one thing else than it was, that the shapes do not tell."""
    if name == "source":
        return replace(base, model=replace(base.model, source=str(other_base(place))))
    if name == "tower":
        return replace(base, model=replace(base.model, vision_tower=str(other_tower(place))))
    if name == "conv_type":
        return replace(base, model=replace(base.model, conv_type="llava_llama_2"))
    return replace(base, lora=replace(base.lora, alpha=base.lora.alpha * 2))


CHANGES = [
    ("source", "base"),
    ("tower", "base"),
    ("conv_type", "model.conv_type"),
    ("alpha", "lora.alpha"),
]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_merge_refuses_what_would_give_another_model(trained, tmp_path, change, name):
    other = changed(train_config(trained, steps=3), change, tmp_path)
    with pytest.raises(TrainingError) as caught:
        run.merge(other, None, tmp_path / "out")
    assert f"--accept {name}" in str(caught.value) and "settings.yaml" in str(caught.value)
    assert not (tmp_path / "out").exists()
    run.merge(other, None, tmp_path / "out", [name])
    assert read_weights(tmp_path / "out")


def test_the_alpha_is_told_with_both_values(trained, tmp_path):
    other = changed(train_config(trained, steps=3), "alpha", tmp_path)
    alpha = TINY.lora().alpha
    with pytest.raises(TrainingError, match=rf"lora\.alpha \({alpha} in the checkpoint, {2 * alpha} here\)"):
        run.merge(other, trained / "last.pt", tmp_path / "out")


@pytest.mark.parametrize(("change", "name"), CHANGES[:1] + CHANGES[-1:])
def test_a_resume_refuses_it(trained, tmp_path, change, name):
    place = shutil.copytree(trained, tmp_path / "run")
    other = changed(train_config(place, steps=4), change, tmp_path)
    before = (place / "settings.yaml").read_text()
    with pytest.raises(TrainingError, match=f"--accept {name}"):
        train(other)
    assert (place / "settings.yaml").read_text() == before
    assert read_checkpoint(place / "last.pt").state.step == 3
    reset_accelerate()
    train(other, accepted=[name])
    assert read_checkpoint(place / "last.pt").state.step == 4
    run.merge(other, place / "last.pt", tmp_path / "out")  # the state is the new base's from now on


def test_validate_refuses_it(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "open_validation", lambda names, root, proposals: {"golden": validation_samples()})
    place = shutil.copytree(trained, tmp_path / "run")
    own = train_config(place)
    own = replace(own, validation=replace(own.validation, data=("golden",)))
    other = changed(own, "alpha", tmp_path)
    with pytest.raises(TrainingError, match=r"best\.pt was trained otherwise .*lora\.alpha"):
        run.validate_run(other, None)
    assert not (place / "validation").exists()
    with pytest.raises(ConfigurationError, match=r"lora\.alhpa: no such name"):
        run.validate_run(other, None, ["lora.alhpa"])
    reset_accelerate()
    capsys.readouterr()
    scores = run.validate_run(other, None, ["lora.alpha"])
    output = capsys.readouterr()
    (file,) = (place / "validation").iterdir()
    record = json.loads(file.read_text())
    assert file.name == "best.json" and str(file) in output.err
    assert record["scores"] == json.loads(output.out) == scores
    assert record["checkpoint"] == str(place / "best.pt") and {"version", "commit", "date"} <= record.keys()


def test_the_digest_is_of_the_content_alone(trained, tmp_path):
    """The same base at another place, in another layout of files, is the same base."""
    base = shutil.copytree(TINY.directory / "lisa_hf", tmp_path / "elsewhere")
    run_config = train_config(trained, steps=3)
    moved = replace(run_config, model=replace(run_config.model, source=str(base)))
    run.merge(moved, None, tmp_path / "out")
    assert read_checkpoint(trained / "best.pt").identity == read_checkpoint(trained / "last.pt").identity
    assert set(read_checkpoint(trained / "last.pt").identity) == set(NAMES)


def test_a_base_is_known_again_in_the_other_precision(trained, tmp_path):
    merging = train_config(trained, steps=3, precision="bf16")
    run.merge(merging, None, tmp_path / "out")
    other = changed(merging, "tower", tmp_path)
    with pytest.raises(TrainingError, match="--accept base"):
        run.merge(other, None, tmp_path / "out2")


def test_a_checkpoint_of_an_earlier_version_says_that_it_cannot_be_known(trained, tmp_path):
    place = shutil.copytree(trained, tmp_path / "run")
    state = read_checkpoint(place / "last.pt")
    RunDirectory(place).save(place / "last.pt", TrainingCheckpoint(state.state, state.weights, state.optimizer))
    with pytest.raises(TrainingError, match="does not name its base"):
        run.merge(train_config(place), place / "last.pt", tmp_path / "out")
    run.merge(train_config(place), place / "last.pt", tmp_path / "out", ["base"])


def test_names_that_cannot_be_accepted():
    with pytest.raises(ConfigurationError, match=r"--accept lr: no such name; there are base, model\.conv_type"):
        check_identity({}, {}, "x", ["lr"])


def test_the_base_of_a_quantised_run_is_the_unquantised_one(tmp_path):
    run_config = train_config(tmp_path)
    plain = build(run_config, torch.device("cpu"))
    assert plain.identity["base"].keys() == {"bfloat16", "float32"}
    seeded = build(replace(run_config, seed=7), torch.device("cpu"))
    assert seeded.identity == plain.identity  # a LISA needs no new parts, the adapters' first values are the run's own


def test_merging_into_folders_with_something_else(trained, tmp_path):
    own = shutil.copytree(TINY.directory / "lisa_hf", tmp_path / "base")
    there = train_config(trained, steps=3)
    there = replace(there, model=replace(there.model, source=str(own)))
    with pytest.raises(ConfigurationError, match=r"is the base's own folder \(model\.source\)"):
        run.merge(there, None, own / ".." / "base")
    with pytest.raises(ConfigurationError, match=r"holds other weights, pytorch_model\.bin"):
        run.merge(there, None, shutil.copytree(own, tmp_path / "copy"))
    run.merge(there, None, tmp_path / "out")
    run.merge(there, None, tmp_path / "out")  # the same again
    with pytest.raises(ConfigurationError, match=r"holds other weights, model\.safetensors"):
        run.merge(there, "base", tmp_path / "out")


def test_an_unmerged_file_does_not_tell_its_scale(tmp_path, capsys):
    unmerged = tmp_path / "pytorch_model.bin"
    torch.save(TINY.unmerged(), unmerged)
    run.merge(train_config(tmp_path), unmerged, tmp_path / "out")
    lora = TINY.lora()
    assert f"lora.alpha / lora.r is {lora.alpha} / {lora.r} here" in capsys.readouterr().out


def test_the_settings_of_the_run_fit_its_checkpoint(trained, tmp_path):
    values = yaml.safe_load((trained / "settings.yaml").read_text())
    values["data"]["groups"] = {"tabletop": {"weight": 1.0, "sets": ["tabletop"]}}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(values | {"recipe": "lora"}))
    assert main(["merge", "--config", str(tmp_path / "again.yaml"), "--out", str(tmp_path / "out")]) == 0
