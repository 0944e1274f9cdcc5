"""ELISA's records: how they are made and what its loader takes of them.

The official preparation drew the truth with Pillow 11, which fills polygons by a pixel or two otherwise than today.
What comes of the truth is compared up to that, all else to the digit.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from golden_variants import ROOT, find_golden
from PIL import Image
from torch.testing import assert_close

from lisa_ros.datasets.elisa_records import drawn_shape, read_records
from lisa_ros.datasets.reasonseg import ReasonSegDataset, read_shapes
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.candidates.polygons import contours_of
from lisa_ros.geometry.proposals import Proposals, mask_iou
from lisa_ros.images import read_image
from lisa_ros.model.elisa.alphaclip import load_alphaclip
from lisa_ros.model.elisa.embedding import squash_mask
from training.elisa.preparation import check_records, make_record, pillow_mask, prepare_split

pytestmark = pytest.mark.unit
REASONSEG = ROOT / "tests" / "golden" / "datasets"


@pytest.fixture(scope="module")
def data() -> Path:
    """The miniature records with the proposals they were made of, beside the variant whose tower embedded them."""
    for variant in find_golden("elisa"):
        folder = variant.parent / "datasets" / "elisa"
        if (folder / "expected.json").is_file():
            return folder
    pytest.skip("no miniature records of ELISA: set LISA_ROS_GOLDEN")


@pytest.fixture(scope="module")
def tower(data):
    return load_alphaclip(data.parents[1] / "elisa_tiny" / "alphaclip")


def given(data, split, stem, limit):
    """Proposals in the order of the generator, the largest kept."""
    paths = sorted((data / "proposals").glob(f"{split}_{stem}_*.png"), key=lambda p: int(p.stem.rpartition("_")[2]))
    masks = [np.array(Image.open(path).convert("L")) > 0 for path in paths]
    everything = Proposals.from_masks(masks, 1024, 1024)
    return everything, everything.largest(limit)


def truth_of(split, stem):
    folder = REASONSEG / "reason_seg" / "ReasonSeg" / split
    image = read_image(folder / f"{stem}.jpg")
    shapes = [shape for shape in read_shapes(folder / f"{stem}.json") if shape["label"] == "target"]
    return image, [pillow_mask(shape, *image.shape[:2]) for shape in shapes]


def test_parity_of_records(data, tower):
    expected = json.loads((data / "expected.json").read_text())
    for split, images in expected["splits"].items():
        lines = (data / "data" / f"{split}_final.jsonl").read_text().splitlines()
        recorded = {values["img"]: values for values in map(json.loads, lines)}
        for name, facts in images.items():
            if "error" in facts:
                continue  # the official preparation stops at it; read_shapes takes its other encoding
            image, truth = truth_of(split, Path(name).stem)
            everything, proposals = given(data, split, Path(name).stem, expected["n_masks"])
            assert [item.area for item in everything.items] == facts["proposal_areas_in_given_order"]
            assert proposals.items == tuple(everything.items[i] for i in facts["order_after_sort_and_truncation"])
            soft = [squash_mask(mask) for mask in truth]
            for index, row in enumerate(facts["iou_with_gt"]):
                found = [mask_iou(proposals.masks[index], mask > 0) for mask in soft]
                assert found == pytest.approx(row, abs=5e-3)
            record = make_record(tower, name, image, truth, proposals, letterbox=False)
            assert len(record["sam_embs"]) == sum(facts["kept"]) == facts["n_sam"]
            assert [len(shape) for shape in record["gt_shapes"]] == facts["n_contours_gt"]
            assert [len(shape) for shape in record["sam_shapes"]] == facts["n_contours_sam"]
            assert record["sam_shapes"] == recorded[name]["sam_shapes"]
            for shape, other in zip(record["gt_shapes"], recorded[name]["gt_shapes"], strict=True):
                assert mask_iou(drawn_shape(shape), drawn_shape(other)) > 0.99
            for key, near in (("gt_embs", 5e-3), ("sam_embs", 1e-5)):
                assert_close(np.array(record[key]), np.array(recorded[name][key]), atol=near, rtol=0)
            for mask, counts in zip(soft, facts.get("gt_value_counts", []), strict=True):
                assert (mask == 255).sum() == pytest.approx(counts["255"], rel=0.01)
                assert ((mask > 0) & (mask < 255)).sum() == pytest.approx(counts["between"], rel=0.02)


def test_parity_of_black_surroundings_and_of_inference(data, tower):
    expected = json.loads((data / "expected.json").read_text())
    image, truth = truth_of("train", "t0")
    _, proposals = given(data, "train", "t0", expected["n_masks"])
    record = make_record(tower, "t0.jpg", image, truth, proposals, letterbox=False, masked=True)
    for key, near in (("gt_embs", 5e-3), ("sam_embs", 1e-5)):
        assert_close(np.array(record[key]), np.array(expected["t0_mask_only_true"][key]), atol=near, rtol=0)
    record = make_record(tower, "t0.jpg", image, [], proposals, letterbox=False)
    inference = expected["t0_inference_preprocess"]["sam_embs"]
    assert_close(np.array(record["sam_embs"]), np.array(inference), atol=1e-5, rtol=0)


def test_parity_of_the_loader(data):
    expected = json.loads((data / "expected.json").read_text())["loader"]
    for split in ("train", "val"):
        facts = expected[split]
        records = read_records(data / "data" / f"{split}_final.jsonl", facts["top_samples"])
        assert [record.image for record in records] == facts["images"]
        assert [list(record.truth.shape) for record in records] == facts["gt_shape"]
        assert [list(record.others.shape) for record in records] == facts["sam_shape"]
        assert [len(record.other_shapes) for record in records] == facts["n_sam_shapes"]
        samples = ReasonSegDataset(REASONSEG, split, explanatory=True)
        names = [picture.name for picture, _ in samples.pairs]
        for record, queries, answer in zip(records, facts["queries_available"], facts["answer"], strict=True):
            turns = samples[names.index(record.image)].turns
            assert [turn.question for turn in turns] == queries
            assert turns[0].answer.removeprefix("[SEG].").strip() == (answer or "")


def test_overlaps_know_holes(data):
    record = read_records(data / "data" / "train_final.jsonl")[0]
    overlaps = record.overlaps()
    assert overlaps.shape == (len(record.truth), len(record.truth) + len(record.others))
    assert np.allclose(np.diag(overlaps), 1) and overlaps.max() <= 1
    ring = np.zeros((1024, 1024), bool)
    ring[100:900, 100:900] = True
    ring[300:700, 300:700] = False
    drawn = drawn_shape(contours_of(ring))
    assert mask_iou(drawn, ring) > 0.99


def test_a_preparation_goes_on_where_it_ended(data, tower, tmp_path):
    out, asked = tmp_path / "records" / "val.jsonl", []

    def propose(image):
        asked.append(image.shape)
        half = np.zeros(image.shape[:2], bool)
        half[: len(half) // 2] = True
        return Proposals.from_masks([half], *half.shape)

    added = prepare_split(REASONSEG, "val", out, tower, propose, letterbox=True)
    lines = out.read_text().splitlines()
    assert added == len(lines) == len(asked) > 2
    out.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])  # it was writing the last one
    assert prepare_split(REASONSEG, "val", out, tower, propose, letterbox=True) == 1
    assert out.read_text().splitlines() == lines and len(asked) == added + 1
    with pytest.raises(ConfigurationError, match="made with other settings"):
        prepare_split(REASONSEG, "val", out, tower, propose, letterbox=True, settings={"points_per_side": 4})
    check_records(out, letterbox=True)
    with pytest.raises(ConfigurationError, match="made for the preset elisa, this run's is elisa_paper"):
        check_records(out, letterbox=False)


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"img": "a.jpg"}\n')
    with pytest.raises(DatasetError, match=r"line 1 is not a record.*gt_embs"):
        read_records(tmp_path / "bad.jsonl")
