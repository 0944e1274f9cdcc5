"""Training steps against ELISA's official code: T1 to T7, gradients, optimizer, schedule."""

import dataclasses

import numpy as np
import pytest
import torch
from elisa_trainee import PAPER, Trainee, name_of
from torch.testing import assert_close

from lisa_ros.model.elisa.rendering import ElisaWording
from training.elisa.batch import ElisaBatch, ElisaCollator, ElisaExample
from training.elisa.lora import parameter_groups, published_elisa_weights
from training.elisa.objective import ElisaLossConfig, ElisaObjective, expand_images

pytestmark = pytest.mark.unit


def close(found, expected, atol=0.0, rtol=0.0):
    assert_close(torch.as_tensor(found).detach(), torch.as_tensor(expected), atol=atol, rtol=rtol)


class Recorded:
    """Draws in the order in which they were made."""

    def __init__(self, draws) -> None:
        self.draws = list(draws)

    def uniform(self) -> float:
        kind, value = self.draws.pop(0)
        assert kind == "rand"
        return value

    def choose(self, count: int) -> int:
        kind, value, limit = self.draws.pop(0)
        assert kind == "randint" and limit == count
        return value


class RecordedDropout(torch.nn.Module):
    def __init__(self, keep, share: float) -> None:
        super().__init__()
        self.keep, self.share = torch.from_numpy(keep), share

    def forward(self, values):
        return values * self.keep / (1 - self.share)


def settings_of(case):
    settings = case["settings"]
    return dataclasses.replace(PAPER.loss, temperature=settings["temp"], positive_weight=settings["posw"])


def examples_of(golden, case):
    found = []
    for index, image in enumerate(case["images"]):
        embeddings = golden.embeddings(image)
        found.append(
            ElisaExample(
                golden.image(image),
                case["texts"][index],
                case["answers_in"][index],
                embeddings[case["pos_candidates_0based"][index]],
                embeddings[case["neg_candidates_0based"][index]],
            )
        )
    return found


def collated(golden, trainee, case, draws=None):
    lists, settings = golden.json("prompts")["lists_used_here"], case["settings"]
    wording = ElisaWording(
        tuple(lists["lead_in"]), tuple(lists["output_phrase"]), settings["seg_pos"], settings["text"]
    )
    recorded = Recorded(case["draws_in_order"] if draws is None else draws)
    collator = ElisaCollator(trainee.tokenizer, trainee.preprocess, wording=wording, exact=PAPER.model.style.exact)
    batch = collator.collate(examples_of(golden, case), recorded.uniform, recorded.choose)
    return batch, recorded.draws


@pytest.fixture(scope="module")
def trainee(golden):
    return Trainee(golden)


def test_parity_of_rendered_batches(golden, trainee):
    arrays = golden.arrays("train")
    for name, case in golden.json("train")["cases"].items():
        batch, left = collated(golden, trainee, case)
        assert left == []
        close(batch.labels, arrays[f"{name}/label_ids"])
        assert batch.labels.shape[1] == case["num_generate"] and len(batch.owners) == case["K_total"]
        assert batch.positives == case["n_pos_total"]
        recorded = torch.from_numpy(arrays[f"{name}/input_ids"])
        kept = recorded != trainee.tokenizer.unk_id if case["settings"]["mask"] else torch.ones_like(recorded).bool()
        close(batch.ids[kept], recorded[kept])
        close(batch.embeddings, arrays[f"{name}/adapter_in"])
        if not case["settings"]["mask"]:
            close(batch.attention_mask.long(), arrays[f"{name}/text_attention_mask"][:, :-1])
        texts = golden.json("prompts")["training_examples"].get(name)
        if texts:
            labels = [[id for id in row if id != trainee.tokenizer.pad_id] for row in batch.labels.tolist()]
            assert labels == texts["label_ids"]
            assert [trainee.tokenizer.encode_prompt(text) for text in texts["rendered"]] == texts["rendered_ids"]
            assert batch.ids.tolist() == texts["batch_input_ids_without_last"] or case["settings"]["mask"]
            assert batch.labels.tolist() == texts["batch_label_ids"]


def stepped(golden, trainee, name, case, monkeypatch):
    """The losses of a case, with gradients, from a network as it was saved."""
    arrays, settings = golden.arrays("train"), case["settings"]
    batch, _ = collated(golden, trainee, case)
    batch = ElisaBatch(**{**vars(batch), "ids": torch.from_numpy(arrays[f"{name}/input_ids"])})
    network, adapter = trainee.network, trainee.network.adapter
    network.zero_grad()
    with monkeypatch.context() as patched:
        if f"{name}/dropout_keep" in arrays.files:
            recorded = RecordedDropout(arrays[f"{name}/dropout_keep"], settings["drop"])
            patched.setitem(adapter.mlp._modules, "2", recorded)
            noise = torch.from_numpy(arrays[f"{name}/noise_unit_normal"])
            patched.setattr(adapter, "_noisy", lambda values: values + noise * settings["noise"])
        network.eval()
        losses = ElisaObjective(network, settings_of(case), trainee.tokenizer.pad_id)(batch)
        losses.rows.embedding.retain_grad()
        losses.loss.backward()
    return batch, losses


def test_parity_of_losses_and_gradients(golden, trainee, monkeypatch):
    arrays, recorded = golden.arrays("train"), golden.json("train")
    for name, case in recorded["cases"].items():
        batch, losses = stepped(golden, trainee, name, case, monkeypatch)
        first = trainee.network.first_candidate
        close(losses.rows.embedding, arrays[f"{name}/adapter_out"], atol=1e-5)
        assert losses.loss.item() == pytest.approx(case["loss"], rel=1e-5), name
        assert losses.tokens.sum().item() == pytest.approx(case["loss_sum_over_tokens"], rel=1e-5)
        assert losses.tokens.numel() == case["n_positions_in_mean"]
        assert int((batch.labels == trainee.tokenizer.pad_id).sum()) == case["n_ignored"]
        assert case["ignore_index"] == trainee.tokenizer.pad_id
        close(losses.tokens, arrays[f"{name}/per_token_loss"], atol=2e-4, rtol=1e-5)
        if f"{name}/masked_logits" in arrays.files:
            close(losses.logits, arrays[f"{name}/masked_logits"], atol=1e-4)
        allowed = torch.ones(losses.logits.shape[::2], dtype=torch.uint8)
        for column, owner in enumerate(batch.owners):
            allowed[:, first + column] = (torch.arange(len(allowed)) == owner).to(torch.uint8)
        close(allowed, arrays[f"{name}/token_masks"])
        weights = torch.ones(losses.logits.shape[2])
        weights[first : first + batch.positives] = case["settings"]["posw"]
        close(weights[first - 1 :], arrays[f"{name}/class_weight_tail"])
        gradient = losses.rows.embedding.grad
        near = {"rtol": 1e-4, "atol": 1e-4 * float(np.abs(arrays[f"{name}/grad_new_rows"]).max())}
        close(gradient, arrays[f"{name}/grad_new_rows"], **near)
        for key, parameter in trainee.network.adapter.named_parameters():
            expected = arrays[f"{name}/adapter_grad/{key}"]
            close(parameter.grad, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))
            assert parameter.grad.norm().item() == pytest.approx(case["adapter_grad_norm"][key], rel=1e-4)
        norms = {}
        for key, parameter in trainee.network.named_parameters():
            if ".lora_" in key:
                norms[name_of(key)] = None if parameter.grad is None else parameter.grad.norm().item()
                if f"{name}/lora_grad/{name_of(key)}" in arrays.files and parameter.grad is not None:
                    expected = arrays[f"{name}/lora_grad/{name_of(key)}"]
                    close(parameter.grad, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))
        assert norms.keys() == case["lora_grad_norm"].keys()
        for key, norm in case["lora_grad_norm"].items():
            assert (norms[key] is None) == (norm is None), key
            assert norm is None or norms[key] == pytest.approx(norm, rel=1e-4), (name, key)


def test_parity_of_closed_foreign_rows(golden, trainee):
    """What the official loss would be if other images' rows could not be said at all."""
    arrays = golden.arrays("train")
    for name, case in golden.json("train")["cases"].items():
        if "loss_if_foreign_rows_were_minus_inf" not in case or case["settings"]["mask"] or case["settings"]["drop"]:
            continue
        batch, _ = collated(golden, trainee, case)
        batch = ElisaBatch(**{**vars(batch), "ids": torch.from_numpy(arrays[f"{name}/input_ids"])})
        config = dataclasses.replace(settings_of(case), foreign="closed")
        with torch.no_grad():
            losses = ElisaObjective(trainee.network.eval(), config, trainee.tokenizer.pad_id)(batch)
        assert losses.loss.item() == pytest.approx(case["loss_if_foreign_rows_were_minus_inf"], rel=1e-5)


def test_parity_of_batch_states_and_logits(golden, trainee):
    arrays, recorded = golden.arrays("dynamic_vocab"), golden.json("dynamic_vocab")
    name = recorded["batch"]["source"].split()[-1]
    case = golden.json("train")["cases"][name]
    batch, _ = collated(golden, trainee, case)
    assert list(batch.owners) == recorded["batch"]["row_owner"]
    close(batch.ids, arrays["batch/input_ids"])
    network = trainee.network.eval()
    with torch.no_grad():
        losses = ElisaObjective(network, settings_of(case), trainee.tokenizer.pad_id)(batch)
        visual = network.visual_tokens(batch.pixels)
        ids, attended = expand_images(batch.ids, batch.attention_mask, network.image_id, visual.shape[1])
        embeddings = network.splice(ids, visual, losses.rows)
        raw = network.logits(losses.hidden[:, -batch.labels.shape[1] :], losses.rows)
    train = golden.arrays("train")
    for place, prefix in ((arrays, "batch"), (train, name)):
        close(attended.long(), place[f"{prefix}/attention_mask"])
        positions = (attended.cumsum(1) - 1).masked_fill(~attended, 1)
        close(positions, place[f"{prefix}/position_ids"])
        close(losses.hidden[attended], place[f"{prefix}/hidden"][attended.numpy()], atol=1e-5)
    close(embeddings[attended], arrays["batch/inputs_embeds"][attended.numpy()], atol=1e-5)
    kept = torch.from_numpy(arrays["batch/raw_logits"]).isfinite().all(-1) & attended[:, -raw.shape[1] :]
    close(raw[kept], arrays["batch/raw_logits"][kept.numpy()], atol=1e-4)
    close(losses.logits[kept], arrays["batch/masked_logits"][kept.numpy()], atol=1e-4)


def test_parity_of_an_uneven_batch(golden, trainee):
    """Two images with different numbers of candidates."""
    arrays, recorded = golden.arrays("dynamic_vocab"), golden.json("dynamic_vocab")["batch_uneven"]
    source = golden.json("train")["cases"][golden.json("dynamic_vocab")["batch"]["source"].split()[-1]]
    case = source | {"pos_candidates_0based": recorded["pos"], "neg_candidates_0based": recorded["neg"]}
    batch, left = collated(golden, trainee, case, recorded["draws_in_order"])
    assert left == [] and list(batch.owners) == recorded["row_owner"]
    close(batch.ids, arrays["batch_uneven/input_ids"])
    with torch.no_grad():
        losses = ElisaObjective(trainee.network.eval(), settings_of(case), trainee.tokenizer.pad_id)(batch)
        raw = trainee.network.logits(losses.hidden[:, -batch.labels.shape[1] :], losses.rows)
    assert losses.loss.item() == pytest.approx(recorded["loss"], rel=1e-5)
    close(raw, arrays["batch_uneven/raw_logits"], atol=1e-4)


def test_parity_of_optimizer_steps(golden):
    """Three steps of AdamW, the templates drawn anew for each; parameters after the first."""
    trainee, recorded = Trainee(golden), golden.json("train")
    name = "T1_plain_randomized"
    case, arrays = recorded["cases"][name], golden.arrays("train")
    groups = parameter_groups(trainee.network)
    optimizer = torch.optim.AdamW(
        [{"params": groups["adapter"], "lr": 1e-3}, {"params": groups["lora"], "lr": 1e-6}], weight_decay=0.01
    )
    objective, draws, losses = ElisaObjective(trainee.network, settings_of(case), trainee.tokenizer.pad_id), None, []
    objective.eval()
    for step in range(3):
        batch, draws = collated(golden, trainee, case, recorded["T1_three_steps_draws"] if draws is None else draws)
        optimizer.zero_grad()
        loss = objective(batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step == 0:
            for key, parameter in trainee.network.adapter.named_parameters():
                close(parameter, arrays[f"{name}/adapter_after_1_step/{key}"], atol=1e-6)
            for key, parameter in trainee.network.named_parameters():
                if ".lora_" in key:
                    close(parameter, arrays[f"{name}/lora_after_1_step/{name_of(key)}"], atol=1e-6)
    assert draws == []
    assert losses == pytest.approx(recorded["T1_three_steps_losses"], rel=1e-5)


def test_parity_of_published_keys(golden, trainee):
    """What is saved has the keys, shapes and numbers that were loaded."""
    saved = published_elisa_weights(trainee.network)
    assert {key: list(value.shape) for key, value in saved.items()} == golden.meta["pth_keys"]
    fresh = published_elisa_weights(Trainee(golden).network)
    for key, value in trainee.weights.items():
        close(fresh[key], value.float())


def test_rows_of_one_image_are_never_said_about_another(golden, trainee):
    """By the corrected loss: probability exactly 0, and no gradient, whatever the logits."""
    case = golden.json("train")["cases"]["T1_plain_randomized"]
    batch, _ = collated(golden, trainee, case)
    objective = ElisaObjective(trainee.network.eval(), ElisaLossConfig(), trainee.tokenizer.pad_id)
    losses = objective(batch)
    first = trainee.network.first_candidate
    probability = losses.logits.softmax(-1)[..., first : first + len(batch.owners)]
    for column, owner in enumerate(batch.owners):
        for row in range(len(batch.ids)):
            said = probability[row, :, column]
            assert (said > 0).all() if row == owner else (said == 0).all()
    (gradient,) = torch.autograd.grad(losses.tokens[0].sum(), [losses.rows.embedding])
    foreign = [column for column, owner in enumerate(batch.owners) if owner != 0]
    assert (gradient[foreign] == 0).all() and gradient.abs().sum() > 0


def test_soft_positives_pull_towards_candidates_that_nearly_cover_the_target(golden, trainee):
    case = golden.json("train")["cases"]["T1_plain_randomized"]
    hard, _ = collated(golden, trainee, case)
    overlaps = torch.zeros(hard.positives, len(hard.owners))
    overlaps[range(hard.positives), range(hard.positives)] = 1.0
    near = next(i for i in range(hard.positives, len(hard.owners)) if hard.owners[i] == hard.owners[0])
    objective = ElisaObjective(trainee.network.eval(), ElisaLossConfig(), trainee.tokenizer.pad_id)

    def pull(values):
        losses = objective(ElisaBatch(**{**vars(hard), "overlaps": values}))
        (gradient,) = torch.autograd.grad(losses.loss, [losses.logits])
        return losses.loss.item(), gradient[..., trainee.network.first_candidate + near]

    plain, _ = pull(None)
    alone, before = pull(overlaps)
    assert alone == pytest.approx(plain, rel=1e-6)  # nothing else overlaps
    overlaps[0, near] = 0.95
    _, after = pull(overlaps)
    place = (hard.labels == trainee.network.first_candidate).nonzero()[0]
    assert after[tuple(place)] < before[tuple(place)]
    overlaps[0, near] = 0.3
    assert pull(overlaps)[0] == pytest.approx(plain, rel=1e-6)  # too little to count
