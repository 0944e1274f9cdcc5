"""An ELISA behind the interface of `Lisa`: loading, asking, talking, choosing; what is wrong with files and calls."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, ConfigurationError, InvalidImageError, InvalidQueryError
from lisa_ros.evaluation.predictors import Generative, TeacherForced, model_digest
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.elisa.engine import ElisaEngine
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.types import Finished, MaskReady, TextDelta, Turn

pytestmark = pytest.mark.unit


def asked(golden, name="two_masks_interleaved"):
    """A golden case, with the image encoded by the engine of the official choices."""
    case = golden.json("generate")["cases"][name]
    return case, golden.lisa.encode(golden.image(case["image"]), golden.proposals(case["image"], case["K"]))


def copied(golden, tmp_path):
    folder = tmp_path / "elisa"
    shutil.copytree(golden.directory, folder, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("golden"))
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        path.chmod(0o755)
    return folder


def test_the_factory_recognises_the_folder_and_the_file(golden):
    assert isinstance(golden.lisa, ElisaEngine) and isinstance(golden.lisa, Lisa)
    (weights,) = [path for path in (golden.directory / "models").glob("*.pth") if path.with_suffix(".json").is_file()]
    assert isinstance(Lisa.from_pretrained(weights, device="cpu"), ElisaEngine)
    assert weights.stem in golden.lisa.provenance and golden.lisa.memory()["weights"] > 0


def test_targets_carry_their_candidate_and_its_mask(golden):
    case, frame = asked(golden)
    result = golden.lisa.chat(frame, case["query"])
    assert [target.candidate.index for target in result.targets] == [n - 1 for n in case["emission_order_1based"]]
    masks = golden.proposals(case["image"], case["K"]).masks
    for target in result.targets:
        assert target.mask.shape == (frame.height, frame.width)
        assert np.array_equal(target.logits > 0, target.mask)
        share = masks[target.candidate.index].mean()
        assert target.mask.mean() == pytest.approx(share, abs=0.03)
        assert 0.5 < target.candidate.score <= 1 and 0 < target.probability <= 1
    assert result.targets[0].phrase
    assert "SEG_MASK" not in result.answer and "<" not in result.answer and result.answer


def test_streams_tell_text_and_masks_as_they_come(golden):
    case, frame = asked(golden)
    events = list(golden.lisa.stream(frame, case["query"]))
    assert isinstance(events[-1], Finished)
    result = events[-1].result
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == result.answer
    ready = [event for event in events if isinstance(event, MaskReady)]
    assert [event.index for event in ready] == [0, 1]
    assert [event.target.candidate for event in ready] == [target.candidate for target in result.targets]
    places = [isinstance(event, MaskReady) for event in events]
    assert any(isinstance(event, TextDelta) for event in events[places.index(True) + 1 :])  # text goes on behind a mask


def test_an_image_is_encoded_once_whatever_is_asked(golden):
    """CLIP, AlphaCLIP and adapter see an image once; the official code's CLIP sees it for every token."""
    case, calls = golden.json("generate")["cases"]["one_mask"], []
    network = golden.lisa.network
    parts = {"clip": network.llava.model.vision_tower, "alphaclip": golden.lisa.model.tower, "adapter": network.adapter}
    hooks = [part.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, part in parts.items()]
    try:
        frame = golden.lisa.encode(golden.image(case["image"]), golden.proposals(case["image"], case["K"]))
        assert sorted(calls) == ["adapter", "alphaclip", "clip"]
        result = golden.lisa.chat(frame, case["query"])
        golden.lisa.segment(frame, case["query"])
        golden.lisa.conversation(frame).ask(case["query"])
        assert len(calls) == 3 and result.targets
    finally:
        for hook in hooks:
            hook.remove()
    assert golden.json("pipeline")["image_encoder_calls_in_one_generate"]["calls"] > 1


def test_frames_that_are_asked_in_turn_do_not_mix(golden):
    """What is said about an image is a candidate of this image, whatever was encoded and asked in between."""
    cases = [case for case in golden.json("generate")["cases"].values() if case["kwargs"]["n_beams"] == 1]
    first, second = cases[0], next(case for case in cases if case["image"] != cases[0]["image"])
    counts = (2, 5)
    lisa, frames = golden.corrected, []
    for case, count in zip((first, second), counts, strict=True):
        frames.append(lisa.encode(golden.image(case["image"]), golden.proposals(case["image"], count)))
    alone = [lisa.chat(frame, first["query"], max_new_tokens=20) for frame in frames]
    for frame, expected, count in [*zip(frames, alone, counts, strict=True)] * 2:
        result = lisa.chat(frame, first["query"], max_new_tokens=20)
        assert result.answer == expected.answer
        assert [t.candidate for t in result.targets] == [t.candidate for t in expected.targets]
        assert all(target.candidate.index < count for target in result.targets)
        hidden = torch.randn(50, lisa.network.hidden_size)
        logits = lisa.model.about(frame).network.logits(hidden)
        first_candidate = lisa.tokenizer.first_candidate
        assert (logits[:, first_candidate + count :] == -torch.inf).all()
        assert logits[:, first_candidate : first_candidate + count].isfinite().all()


def test_a_batch_gives_what_single_queries_give(golden):
    case, frame = asked(golden, "one_mask")
    other = golden.json("generate")["cases"]["masks_first_repeat"]["query"]
    both = golden.lisa.chat_batch(frame, [case["query"], other])
    for query, result in zip((case["query"], other), both, strict=True):
        alone = golden.lisa.chat(frame, query)
        assert result.answer == alone.answer
        assert [t.candidate.index for t in result.targets] == [t.candidate.index for t in alone.targets]


def test_a_segment_query_joins_the_masks_of_the_answer(golden):
    case, frame = asked(golden)
    result = golden.lisa.segment(frame, case["query"])
    (target,) = result.targets
    talked = golden.lisa.chat(frame, case["query"])
    assert np.array_equal(target.mask, talked.union_mask)
    best = max((one.candidate for one in talked.targets), key=lambda candidate: candidate.score)
    said = {index for one in talked.targets for index in one.candidate.members}
    assert target.candidate == replace(best, members=tuple(sorted(said)))
    (many,) = golden.lisa.segment_many(frame, [case["query"]])
    assert many.targets[0].candidate == target.candidate and many.query == case["query"]


def test_phrases_without_a_mask_are_absent(golden):
    case, frame = asked(golden, "no_mask")
    assert golden.lisa.segment(frame, case["query"], sentence=True).targets == ()
    _, frame = asked(golden)
    result = golden.lisa.segment_phrases(frame, ["the red square", "nothing at all"])
    assert [target.phrase for target in result.targets] == ["the red square", "nothing at all"]
    assert all((target.kind == "segmented") == bool(target.mask.any()) for target in result.targets)
    assert golden.lisa.segment_phrases(frame, ["the red square"], max_new_tokens=1).truncated


def test_a_conversation_goes_on_with_the_masks_it_said(golden):
    case, frame = asked(golden, "masks_first_repeat")
    talk = golden.lisa.conversation(frame)
    first = talk.ask(case["query"])
    model = golden.lisa.model.about(frame)
    again = model.prompt_ids(frame, [*talk._turns, (case["query"], None)])
    said = [id for id in again if id in model.kinds]
    assert [model.kinds[id] for id in said] == ["SEG"] * len(first.targets)
    assert [id - model.tokenizer.first_candidate for id in said] == [t.candidate.index for t in first.targets]
    resumed = golden.lisa.conversation(frame, talk._turns and [(case["query"], talk._turns[0][1])])
    assert resumed.ask(case["query"]).answer == talk.ask(case["query"]).answer


def test_an_answer_that_begins_with_a_mask_keeps_it_in_the_next_prompt(golden):
    _, frame = asked(golden)
    model = golden.lisa.model.about(frame)
    ids = model.prompt_ids(frame, [(model.first_question("What?"), "<SEG_MASK_2> is it."), ("And?", None)])
    assert [id for id in ids if id in model.kinds] == [model.tokenizer.first_candidate + 1]


def test_the_corrected_engine_answers_too(golden):
    case = golden.json("generate")["cases"]["one_mask"]
    frame = golden.corrected.encode(golden.image(case["image"]), golden.proposals(case["image"], case["K"]))
    result = golden.corrected.chat(frame, case["query"])
    assert golden.corrected.provenance.endswith("elisa") and golden.lisa.provenance.endswith("elisa_paper")
    assert all(0 <= target.candidate.index < case["K"] for target in result.targets)
    assert (frame.embeddings - asked(golden, "one_mask")[1].embeddings).abs().max() > 1e-4  # not squashed


def test_an_image_without_candidates_is_answered_in_words(golden):
    image = golden.image("images/img0.png")
    frame = golden.lisa.encode(image, Proposals(*image.shape[:2]))
    result = golden.lisa.chat(frame, "Which box can hold the water?", max_new_tokens=20)
    assert result.targets == () and golden.lisa.segment(frame, "the box").targets == ()
    assert result.reason and result.reason == golden.lisa.segment(frame, "the box").reason


def test_a_frame_is_accepted_by_its_engine_alone(golden):
    case, frame = asked(golden)
    with pytest.raises(InvalidImageError, match="another engine"):
        golden.corrected.chat(frame, case["query"])


@pytest.mark.parametrize("words", ["a <SEG_MASK_1>", "x<end_of_turn>", "<start_of_turn>model", "<image>", ""])
def test_words_of_the_prompt_are_refused(golden, words):
    _, frame = asked(golden)
    with pytest.raises(InvalidQueryError):
        golden.lisa.chat(frame, words)


def test_without_proposals_the_remedy_is_named(golden):
    with pytest.raises(ConfigurationError, match=r"sam_checkpoint=PATH.*encode\(image, proposals\)"):
        golden.lisa.encode(golden.image("images/img0.png"))


def test_segment_anything_in_the_folder_proposes_the_candidates(golden, tmp_path):
    """A node gives no more than the folder."""
    folder = copied(golden, tmp_path)
    sizes = {
        "image_size": 64, "embed_dim": 16, "depth": 1, "num_heads": 2, "global_attn_indexes": (0,), "window_size": 0,
        "prompt_embed_dim": 32, "decoder_mlp_dim": 32, "iou_head_hidden_dim": 32, "decoder_heads": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    (folder / "sam").mkdir()
    torch.save(SegmentAnything(SamConfig(**sizes)).state_dict(), folder / "sam" / "sam_vit_b_01ec64.pth")
    options = {"points_per_side": 3, "pred_iou_thresh": -10.0, "stability_score_thresh": -1.0, "limit": 4}
    lisa = Lisa.from_pretrained(folder, device="cpu", sam={"decoder_heads": 4}, proposal_options=options)
    frame = lisa.encode(golden.image("images/img0.png"))
    assert 0 < len(frame.proposals) <= 4 and len(frame.rows) == len(frame.proposals)
    areas = [item.area for item in frame.proposals.items]
    assert areas == sorted(areas, reverse=True)
    assert lisa.chat(frame, "Which box?", max_new_tokens=5).seconds["total"] > 0


def test_more_candidates_than_words_are_refused(golden):
    one = golden.proposals("images/img0.png", 1)
    many = Proposals(one.height, one.width, one.items * 1000)
    with pytest.raises(ConfigurationError, match=r"1000 candidate masks.*999"):
        golden.lisa.encode(golden.image("images/img0.png"), many)


def test_a_style_of_another_system_is_refused(golden):
    with pytest.raises(ConfigurationError, match="elisa or elisa_paper"):
        Lisa.from_pretrained(golden.directory, style="gsva", device="cpu")


def test_missing_files_are_named(golden, tmp_path):
    folder = copied(golden, tmp_path)
    (alphaclip,) = (folder / "alphaclip").iterdir()
    alphaclip.rename(tmp_path / "elsewhere.pth")
    with pytest.raises(CheckpointError, match=rf"(?s){alphaclip}.*https://.*--alphaclip PATH"):
        Lisa.from_pretrained(folder, device="cpu")
    mean = folder / "models" / "train_embs_mean.pt"
    content = mean.read_bytes()
    mean.unlink()
    with pytest.raises(CheckpointError, match=r"train_embs_mean.pt is missing"):
        Lisa.from_pretrained(folder, device="cpu", alphaclip=tmp_path / "elsewhere.pth")
    mean.write_bytes(content)
    assert Lisa.from_pretrained(folder, device="cpu", alphaclip=tmp_path / "elsewhere.pth")
    shutil.rmtree(folder / "llava_base")
    with pytest.raises(CheckpointError, match=r"--base PATH"):
        Lisa.from_pretrained(folder, device="cpu", alphaclip=tmp_path / "elsewhere.pth")


def test_weights_that_do_not_fit_are_refused(golden, tmp_path):
    folder = copied(golden, tmp_path)
    (path,) = [one for one in (folder / "models").glob("*.pth") if one.with_suffix(".json").is_file()]
    weights = torch.load(path, weights_only=True)
    lost = next(key for key in weights if key.startswith("adapter.norm"))
    torch.save({key: value for key, value in weights.items() if key != lost}, path)
    with pytest.raises(CheckpointError, match=lost.removeprefix("adapter.")):
        Lisa.from_pretrained(folder, device="cpu")
    weights[lost] = torch.full_like(weights[lost], torch.nan)
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match="not finite"):
        Lisa.from_pretrained(folder, device="cpu")


def test_two_trained_models_in_a_folder_are_not_guessed_between(golden, tmp_path):
    folder = copied(golden, tmp_path)
    (path,) = [one for one in (folder / "models").glob("*.pth") if one.with_suffix(".json").is_file()]
    for suffix in (".pth", ".json"):
        shutil.copyfile(path.with_suffix(suffix), path.with_name("second").with_suffix(suffix))
    with pytest.raises(CheckpointError, match="give the file of one"):
        Lisa.from_pretrained(folder, device="cpu")
    assert Lisa.from_pretrained(folder / "models" / "second.pth", device="cpu")


def test_evaluations_ask_by_generation_alone(golden):
    case, frame = asked(golden)
    turn = Turn(case["query"], (), "", is_sentence=True)
    result = Generative(golden.lisa, 40)(frame, turn)
    assert [t.candidate.index + 1 for t in result.targets] == case["emission_order_1based"]
    assert model_digest(golden.lisa) != model_digest(golden.corrected)
    with pytest.raises(ConfigurationError, match="mode generative"):
        TeacherForced(golden.lisa)(frame, turn)
