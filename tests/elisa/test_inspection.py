"""The adapter's inspector, against ELISA's official code and as a command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.elisa.inspection import AdapterView, NearWords, inspect_adapter

pytestmark = pytest.mark.unit
MODES = {"raw": "product", "softmax_over_candidates": "softmax", "cosine": "cosine"}


def test_parity_of_token_similarity(golden):
    recorded = golden.json("pipeline")["token_similarity"]
    frame = golden.lisa.encode(golden.image(recorded["image"]), golden.proposals(recorded["image"], recorded["K"]))
    for name, similarity in MODES.items():
        expected = recorded[name]
        view = inspect_adapter(golden.lisa, frame, similarity=similarity, temperature=expected["temperature"])
        assert [list(near.ids) for near in view.near] == expected["top5_ids"], name
        for near, values in zip(view.near, expected["top5_values"], strict=True):
            assert near.values == pytest.approx(values, abs=1e-4)
        assert_close(view.between, torch.tensor(expected["candidate_by_candidate"]), atol=1e-4, rtol=0)
        assert view.columns == expected["n_columns"]


def test_the_command_writes_a_page(golden, tmp_path, capsys):
    image = golden.directory / "images" / "img0.png"
    height, width = golden.image("images/img0.png").shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    arguments = ["inspect", str(image), "--model", str(golden.directory), "--device", "cpu", "--words", "3"]
    arguments += ["--masks", str(tmp_path / "mask.png"), str(tmp_path / "mask.png"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "2 masks" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out" / "words.json").read_text())
    assert len(facts["masks"]) == 2 and all(len(one["words"]) == 3 and all(one["words"]) for one in facts["masks"])
    page = (tmp_path / "out" / "index.html").read_text()
    assert "nearest words" in page and "data:image/jpeg" in page and "1 and 2 (1.00)" in page
    nearest = facts["masks"][0]["words"][0]
    assert main([*arguments, "--names", f"thing, {nearest}", "-"]) == 0
    assert "100% of the masks with a name" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "words.json").read_text())["share_named"] == 1
    assert main([*arguments, "--names", "thing"]) == 2
    assert "--names: 1 for 2 masks" in capsys.readouterr().err


def test_every_row_of_the_vocabulary_has_a_word_to_show(golden):
    tokenizer = golden.lisa.tokenizer
    words = [tokenizer.word(id) for id in range(golden.lisa.network.vocabulary_size)]
    assert all(word and word.isprintable() and "\ufffd" not in word for word in words)
    assert words[tokenizer.first_candidate] == f"row {tokenizer.first_candidate}"


def test_another_system_has_no_masks_for_words(golden, tmp_path, capsys):
    image = golden.directory / "images" / "img0.png"
    assert main(["inspect", str(image), "--model", "tabletop", "--out", str(tmp_path)]) == 2
    assert "no ELISA" in capsys.readouterr().err


def test_masks_of_another_size_are_refused(golden, tmp_path, capsys):
    Image.new("L", (3, 3), 255).save(tmp_path / "mask.png")
    image = golden.directory / "images" / "img0.png"
    arguments = ["inspect", str(image), "--model", str(golden.directory), "--device", "cpu", "--out", str(tmp_path)]
    assert main([*arguments, "--masks", str(tmp_path / "mask.png")]) == 2
    assert "make them equal" in capsys.readouterr().err


def test_arguments_out_of_range_are_named(golden):
    frame = golden.lisa.encode(golden.image("images/img0.png"), golden.proposals("images/img0.png", 2))
    with pytest.raises(ConfigurationError, match="similarity is 'near'"):
        inspect_adapter(golden.lisa, frame, similarity="near")
    with pytest.raises(ConfigurationError, match="temperature is 0"):
        inspect_adapter(golden.lisa, frame, temperature=0)


def test_the_share_of_masks_that_are_near_their_name():
    near = tuple(NearWords((1,), (word,), (0.5,)) for word in ("Mug", "table", "x"))
    view = AdapterView(near, torch.zeros(3, 3), 10)
    assert view.share_named([("mug", "cup"), ("plate",), ()]) == 0.5
