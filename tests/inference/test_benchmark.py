"""The benchmark of inference: both algorithms compute the same, and a difference is not reported as speed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
inference = pytest.importorskip("inference")

pytestmark = pytest.mark.unit


def test_the_algorithms_agree_and_all_figures_are_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inference, "transport", lambda image: 0.001)  # ROS is measured by a program of its own
    path = tmp_path / "inference.json"
    assert inference.main(["--size", "tiny", "--pairs", "2", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert set(result) >= {"ratios", "stages", "floors", "memory"}
    keys = "llm_16", "query_16", "sam_encoder", "mask_only", "second_query", "ten_queries", "first_mask_share"
    assert set(result["ratios"]) == set(keys)
    assert all(0 < found["min"] <= found["median"] <= found["max"] for found in result["ratios"].values())
    assert result["ratios"]["llm_16"]["median"] > 2 and result["ratios"]["first_mask_share"]["max"] < 1
    assert 0 <= result["largest_difference_of_masks"] <= 1e-4
    for name, floor in result["floors"].items():
        assert name == "rates" or 0 < floor["seconds"] < result["stages"][name]["max"], name
    text = capsys.readouterr().out
    assert "official / ours" in text and "13b int4" in text


def test_another_precision_is_held_against_float32_too(capsys, monkeypatch):
    monkeypatch.setattr(inference, "transport", lambda image: 0.001)
    assert inference.main(["--size", "tiny", "--pairs", "1", "--precision", "bf16"]) == 0
    assert "sam_encoder_fp32" in capsys.readouterr().out


def test_masks_that_differ_are_refused(monkeypatch, capsys):
    masks = inference.official.masks
    monkeypatch.setattr(inference.official, "masks", lambda *args: masks(*args) + 0.01)
    assert inference.main(["--size", "tiny", "--pairs", "1"]) == 1
    output = capsys.readouterr()
    assert "nothing to report: masks differ" in output.err and "official / ours" not in output.out


def test_the_script_is_followed_by_both():
    torch.manual_seed(0)
    lisa = inference.random_engine("tiny", torch.device("cpu"), "fp32")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    both = inference.Pairs(lisa, image, 1e-4)
    with inference.scripted(lisa, 9) as script:
        tokens, masks = inference.official.answer(lisa, image, both.ids, 9)
    assert tokens == script and script[inference.SEG_AT] == lisa.tokenizer.seg_id and len(masks) == 1
    with inference.scripted(lisa, 9):
        result = lisa.chat(lisa.encode(image), inference.QUESTION, max_new_tokens=9)
    np.testing.assert_allclose(result.targets[0].logits, masks[0], atol=1e-4)


def test_published_sizes_are_calculated_from_their_shapes():
    rows = {(row["size"], row["precision"]): row for row in inference.memory_table()}
    assert rows["7b", "bf16"]["weights_gb"] == pytest.approx(2 * (6.738 + 0.64 + 0.29), rel=0.02)
    assert rows["7b", "int4"]["weights_gb"] < rows["7b", "nf4"]["weights_gb"] < rows["7b", "int8"]["weights_gb"]
    assert all(row["calculated"] and row["query_peak_gb"] > row["weights_gb"] for row in rows.values())


def test_the_published_sizes_need_a_gpu(capsys):
    assert inference.main(["--size", "7b", "--device", "cpu"]) == 2
    assert "needs --device cuda" in capsys.readouterr().err
