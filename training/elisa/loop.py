"""Training of ELISA on one device: epochs over records, validation by P/R/F1 of the candidates, resuming."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lisa_ros.datasets.elisa_records import read_records
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.candidates.choices import ChoiceScores, random_choice, score_choice
from lisa_ros.model.elisa.network import AskedNetwork
from lisa_ros.model.elisa.rendering import ElisaWording
from lisa_ros.model.elisa.tokenizer import IMAGE_WORD, ElisaTokenizer
from lisa_ros.model.preprocess import ClipPreprocessor
from lisa_ros.model.saving import write_atomically
from lisa_ros.progress import track
from training.elisa.batch import ElisaCollator, ElisaExample
from training.elisa.config import ElisaOptimizerConfig, ElisaTrainConfig, cosine_rate
from training.elisa.lora import parameter_groups
from training.elisa.network import new_network, save_elisa
from training.elisa.objective import ElisaObjective
from training.elisa.preparation import check_records
from training.errors import TrainingError
from training.loop.run_lock import RunLock

LAST, LOG = "last.pt", "log.jsonl"
_ANSWER_TOKENS = 100  # of an answer in validation


class RecordExamples:
    """Records with their pictures and questions, as examples of training.

    Raises DatasetError where records cannot be read, ConfigurationError where they are of another data set or preset.
    """

    def __init__(self, config: ElisaTrainConfig, split: str) -> None:
        check_records(config.data.records / f"{split}.jsonl", letterbox=config.model.style.letterbox)
        self.records = read_records(config.data.records / f"{split}.jsonl", config.data.candidates)
        self._samples = ReasonSegDataset(config.data.root, split, explanatory=split == "train")
        self._places = {picture.name: index for index, (picture, _) in enumerate(self._samples.pairs)}
        missing = [record.image for record in self.records if record.image not in self._places]
        if missing or not self.records:
            raise ConfigurationError(
                f"{config.data.records / f'{split}.jsonl'} has {len(self.records)} records, {missing[:1]} without a "
                f"picture in {config.data.root}; `python -m training prepare` writes records of that data set"
            )

    def __len__(self) -> int:
        return len(self.records)

    def example(self, index: int, rng: np.random.Generator) -> ElisaExample:
        """An example with one of the picture's questions."""
        record = self.records[index]
        sample = self._samples[self._places[record.image]]
        turn = sample.turns[int(rng.integers(len(sample.turns)))]
        explanation = turn.answer.removeprefix("[SEG].").strip()
        truth, others = torch.from_numpy(record.truth), torch.from_numpy(record.others)
        overlaps = torch.from_numpy(record.overlaps())
        return ElisaExample(sample.image, turn.question, explanation, truth, others, overlaps)


def train_elisa(config: ElisaTrainConfig, device: torch.device | None = None) -> ChoiceScores | None:
    """Runs, or resumes, a training; the run's directory can be loaded as a checkpoint after every epoch.

    With a validation set the checkpoint is that of the best F1, of equal ones the first, and before the first
    validation that of the last epoch; without one it is that of the last epoch.

    Returns:
        Scores of the last validation; None without a validation set.

    Raises:
        LisaError: Files are missing or do not fit, or a setting is out of range.
        TrainingError: The loss is not finite, or another run uses the directory.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    data = RecordExamples(config, "train")
    validation = RecordExamples(config, "val") if (config.data.records / "val.jsonl").is_file() else None
    network, tokenizer, preprocess = new_network(config, data.records, device)
    wording = ElisaWording(position=config.data.position, text=config.data.text)
    collator = ElisaCollator(
        tokenizer, preprocess, wording=wording, unknown=config.optimizer.unknown, exact=config.model.style.exact
    )
    objective = ElisaObjective(network, config.loss, tokenizer.pad_id)
    groups = parameter_groups(network)
    optimizer = build_elisa_optimizer(groups, config.optimizer, device)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    lock, scores = RunLock(config.run_dir), None
    lock.acquire()
    try:
        done, best = _resume(config, groups, optimizer)
        for epoch in range(done, config.optimizer.epochs):
            rates = {name: getattr(config.optimizer, name) for name in groups}
            for group, rate in zip(optimizer.param_groups, rates.values(), strict=True):
                group["lr"] = cosine_rate(rate, epoch, config.optimizer.epochs)
            facts = {"epoch": epoch + 1, "loss": _epoch(objective, optimizer, data, collator, config, epoch, device)}
            last = epoch + 1 == config.optimizer.epochs
            is_better = best is None
            if validation is not None and (last or (epoch + 1) % config.validate_every == 0):
                scores, guess = validate_elisa(objective, validation, tokenizer, preprocess, config.seed)
                is_better = best is None or scores.f1 > best
                best = scores.f1 if is_better else best
                facts |= {"validation": vars(scores), "random": vars(guess)}
            if is_better:
                save_elisa(network, config, tokenizer.end_of_turn)
            facts["saved"] = is_better
            _save(config, groups, optimizer, epoch + 1, best)
            with open(config.run_dir / LOG, "a", encoding="utf-8") as log:
                log.write(json.dumps(facts) + "\n")
    finally:
        lock.release()
    return scores


def build_elisa_optimizer(
    groups: dict[str, list[torch.nn.Parameter]], config: ElisaOptimizerConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW with a group for the adapter and one for LoRA. Raises ConfigurationError for 8 bits without CUDA."""
    parameters = [{"params": part, "lr": getattr(config, name).lr} for name, part in groups.items()]
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
    if device.type != "cuda":
        raise ConfigurationError(f"optimizer.name adamw8bit needs a CUDA device, this is {device.type}; use adamw")
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ConfigurationError(
            "optimizer.name adamw8bit needs bitsandbytes: pip install -r requirements/quantization.txt"
        ) from error
    return AdamW8bit(parameters, weight_decay=config.weight_decay)


def _epoch(
    objective: ElisaObjective,
    optimizer: torch.optim.Optimizer,
    data: RecordExamples,
    collator: ElisaCollator,
    config: ElisaTrainConfig,
    epoch: int,
    device: torch.device,
) -> float:
    """One pass over the records; the mean loss."""
    rng = np.random.default_rng((config.seed, epoch))
    torch.manual_seed(int(rng.integers(2**31)))  # dropout and noise: a resumed run draws what an unbroken one draws
    objective.train()
    losses, size = [], config.optimizer.batch_size
    batches = list(_chunks(rng.permutation(len(data)), size))
    for numbers in track(batches, unit="batch", description=f"epoch {epoch + 1}"):
        batch = collator([data.example(int(number), rng) for number in numbers], rng).to(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            loss = objective(batch).loss
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss of a batch of epoch {epoch + 1} is {loss.item()}; lower the learning rates")
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _chunks(order: np.ndarray, size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(order), size):
        yield order[first : first + size]


@torch.no_grad()
def validate_elisa(
    objective: ElisaObjective, data: RecordExamples, tokenizer: ElisaTokenizer, preprocess: ClipPreprocessor, seed: int
) -> tuple[ChoiceScores, ChoiceScores]:
    """Means of P/R/F1 of generated answers with the truth first in the pool, and of choosing at random."""
    from lisa_ros.inference.generation import decode_step, greedy_token, prefill

    objective.eval()
    network, rng, scores, guesses = objective.network, np.random.default_rng(seed), [], []
    device = next(network.adapter.parameters()).device
    for index in range(len(data)):
        example = data.example(index, rng)
        rows = network.rows(torch.cat([example.positives, example.negatives]).to(device))
        asked, pool = AskedNetwork(network, rows), len(example.positives) + len(example.negatives)
        visual = network.visual_tokens(preprocess(example.image).to(device))
        prompt = tokenizer.encode_prompt(tokenizer.render([(f"{IMAGE_WORD}\n{example.query}", None)]))
        cache, hidden = prefill(asked, tokenizer.expand_image(prompt, visual.shape[1]), visual)
        said: list[int] = []
        for _ in range(_ANSWER_TOKENS):
            token, _logits = greedy_token(asked, hidden)
            if token == tokenizer.eos_id:
                break
            said.append(token - tokenizer.first_candidate)
            hidden = decode_step(asked, token, cache)
        scores.append(score_choice(said, range(len(example.positives)), pool))
        guesses.append(random_choice(len(example.positives), pool))
    return ChoiceScores.mean(scores), ChoiceScores.mean(guesses)


def _save(
    config: ElisaTrainConfig,
    groups: dict[str, list[torch.nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    best: float | None,
) -> None:
    state = {
        "epochs": epochs,
        "best": best,
        "optimizer": optimizer.state_dict(),
        **{name: [parameter.detach().cpu() for parameter in part] for name, part in groups.items()},
    }
    write_atomically(config.run_dir / LAST, lambda path: torch.save(state, path))


def _resume(
    config: ElisaTrainConfig, groups: dict[str, list[torch.nn.Parameter]], optimizer: torch.optim.Optimizer
) -> tuple[int, float | None]:
    """Takes up the run in the directory; returns the number of epochs that are done, and the best F1 so far."""
    path = config.run_dir / LAST
    if not path.is_file():
        return 0, None
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in groups.items():
        saved = state[name]
        if [tuple(one.shape) for one in saved] != [tuple(one.shape) for one in part]:
            raise TrainingError(f"{path} is of another network; name another run_dir, or remove it")
        with torch.no_grad():
            for parameter, value in zip(part, saved, strict=True):
                parameter.copy_(value)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epochs"]), state["best"]
