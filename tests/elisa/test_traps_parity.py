"""What ELISA's official code trips over, by its own experiments: repeated here, or shown not to be inherited."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from elisa_trainee import PAPER, Trainee, name_of
from PIL import Image
from test_training_parity import collated, settings_of

from lisa_ros.images import read_image
from lisa_ros.model.elisa.checkpoint import load_elisa
from lisa_ros.model.elisa.files import find_elisa
from training.elisa.lora import parameter_groups
from training.elisa.objective import ElisaObjective

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def trainee(golden):
    return Trainee(golden)


@pytest.fixture(scope="module")
def traps(golden):
    return golden.json("traps")


def test_parity_of_a_processor_that_expands_the_image(golden, traps, tmp_path):
    """With the processor's sizes in its files prompts are the same; it expands the image where the official model did.

    Official training stops there with an error; here image tokens are expanded by one rule alone.
    """
    folder = tmp_path / "elisa"
    shutil.copytree(golden.directory, folder, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("golden"))
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        path.chmod(0o755)
    path = folder / "llava_base" / "processor_config.json"
    sizes = {"patch_size": golden.meta["sizes"]["clip"]["patch_size"], "vision_feature_select_strategy": "default"}
    path.write_text(json.dumps(json.loads(path.read_text()) | sizes))
    tokenizer = load_elisa(find_elisa(folder)).tokenizer
    lengths = {}
    for name, case in golden.json("generate")["cases"].items():
        prompt = tokenizer.encode_prompt(tokenizer.render([(f"<image>\n{case['query']}", None)]))
        assert prompt == case["ids"][: case["prompt_len"]]
        expanded = tokenizer.expand_image(case["ids"], golden.meta["image_tokens"])
        lengths[name] = [len(case["ids"]), len(expanded)]
    expected = traps["new_style_processor_generate"]
    assert expected["same_text"] and expected["len_ids"] in lengths.values()


def test_parity_whatever_pads(golden, traps, trainee):
    """A padding id that is a mask's does not blank the mask's row, as it does in the official model."""
    official = {value for key, value in traps["config_pad_token_id"].items() if key.startswith("loss_pad")}
    assert len(official) == 2
    case, config = golden.json("train")["cases"]["T1_plain_randomized"], trainee.network.llava.config
    batch, _ = collated(golden, trainee, case)
    objective = ElisaObjective(trainee.network.eval(), settings_of(case), trainee.tokenizer.pad_id)
    kept = config.pad_token_id, config.text_config.pad_token_id
    try:
        config.pad_token_id = config.text_config.pad_token_id = trainee.tokenizer.first_candidate
        with torch.no_grad():
            found = objective(batch).loss.item()
    finally:
        config.pad_token_id, config.text_config.pad_token_id = kept
    assert found == pytest.approx(case["loss"], rel=1e-5)


def test_a_query_with_the_models_name_gets_an_answer(golden, traps):
    """The official code cuts at the first "model" with a newline, and returns the prompt."""
    recorded, image = traps["query_contains_model_newline"], "images/img0.png"
    frame = golden.lisa.encode(golden.image(image), golden.proposals(image, 4))
    answer = golden.lisa.chat(frame, recorded["query"], max_new_tokens=12).answer
    assert "\n" in recorded["query"] and not answer.startswith("is it?") and "turn" not in answer


def test_parity_of_pictures_with_transparency(golden, tmp_path):
    """An opaque fourth channel changes nothing."""
    picture = Image.open(golden.directory / "images" / "img0.png").convert("RGBA")
    picture.save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png"), golden.image("images/img0.png"))


def test_parity_of_the_activation(golden):
    """Gemma's is tanh's GELU, whatever its configuration calls it; the adapter's is the exact one."""
    layer, values = golden.checkpoint.network.llava.model.language_model.layers[0], torch.linspace(-4, 4, 101)
    with torch.no_grad():
        assert torch.allclose(layer.mlp.act_fn(values), F.gelu(values, approximate="tanh"), atol=1e-6)


def test_parity_of_what_learns(traps, trainee):
    layers = {name_of(name).split(".lora_")[0] for name, _ in trainee.network.named_parameters() if ".lora_" in name}
    assert {layer.removeprefix("base_model.model.") for layer in layers} == set(traps["lora_targets"])
    adapter = {name for name, parameter in trainee.network.adapter.named_parameters() if parameter.requires_grad}
    assert adapter == set(traps["trainable_adapter"])
    groups = parameter_groups(trainee.network)
    assert {id(one) for group in groups.values() for one in group} == {
        id(one) for one in trainee.network.parameters() if one.requires_grad
    }
    assert "mean" not in trainee.network.adapter.state_dict()  # it is a file of its own, as traps has it


def test_the_recipe_of_the_paper_is_the_official_one():
    """Its loss, rates and preset are what every parity test of training uses; here what only a whole run would show."""
    assert (PAPER.optimizer.adapter.lr, PAPER.optimizer.adapter.floor) == (1e-3, 1e-4)
    assert (PAPER.optimizer.lora.lr, PAPER.optimizer.lora.floor) == (1e-6, 1e-4)
    assert PAPER.validate_every == PAPER.optimizer.epochs == 50  # the best is the last
    assert PAPER.model.preset == "elisa_paper" and not PAPER.model.style.letterbox
    assert (PAPER.loss.foreign, PAPER.loss.padded_mean, PAPER.loss.soft_iou) == ("zero", True, 1.0)
