"""The training loop: the same for one process and for many, on the CPU, on GPUs and on several nodes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from lisa_ros.types import Sample
from training.config.train_config import TrainConfig, dump_config
from training.data.loader import ItemStream, MicroBatch, MicroBatchDataset, MicroBatchSampler, load_micro_batches
from training.errors import TrainingError
from training.loop.devices import (
    drop_old_deepspeed,
    gather_optimizer,
    gather_weights,
    is_deepspeed,
    load_deepspeed,
    make_accelerator,
    save_deepspeed,
    scatter,
    seed_of,
)
from training.loop.interruptions import raise_on_dead_worker, stop_requests
from training.loop.optimizer import build_optimizer, learning_rate_factor, optimizer_options
from training.loop.run_directory import RunDirectory, TrainerState, TrainingCheckpoint, read_checkpoint
from training.loop.step_sums import StepSums
from training.loop.training_log import TrainingLog, device_line, parameters_line
from training.loop.validation import scores, validate
from training.model.identity import check_identity
from training.model.network import build, cache_of, collator_of
from training.model.proposal_objective import objective_of

ValidationSets = Mapping[str, Sequence[Sample]]


class Trainer:
    """One run, which resumes from `run_dir/last.pt` if that exists. Every process of the run makes one.

    Args:
        config: Configuration of the run.
        items: The training stream.
        validations: Validation sets by name; the first one's gIoU decides which checkpoint is the best.
        accepted: Names of intended differences from the checkpoint (`training.model.identity.NAMES`).
        data_summary: Lines about the data that are printed at the start.

    Raises:
        ConfigurationError: If the configuration does not fit the base checkpoint or the machine.
        TrainingError: If `run_dir` cannot be used, or the checkpoint belongs to another base or configuration.
    """

    def __init__(
        self,
        config: TrainConfig,
        items: ItemStream,
        validations: ValidationSets,
        accepted: Sequence[str] = (),
        data_summary: Sequence[str] = (),
    ) -> None:
        self.config, self.validations = config, validations
        self.accelerator = make_accelerator(config)
        self.run = RunDirectory(config.run_dir)
        self.is_main = self.accelerator.is_main_process
        self._run_on_main(self.run.prepare)
        self.state = TrainerState()
        try:
            self._print(*data_summary, device_line(self.accelerator, config), f"loading {config.model.source} ...")
            self._build(items)
            self._print(parameters_line(self.objective))
            self._resume(accepted)
        except BaseException:
            self.run.release()
            raise
        if self.is_main:  # not before the checkpoint fits: they are a record of how it came about
            changed = self.run.save_config(dump_config(config))
            if changed and self.state.step:
                print(f"resumes from step {self.state.step} with other settings: {', '.join(changed)}")

    def _print(self, *lines: str) -> None:
        for line in lines if self.is_main else ():
            print(line, flush=True)

    def _build(self, items: ItemStream) -> None:
        config, accelerator = self.config, self.accelerator
        base = build(config, accelerator.device, identified=self.is_main)
        network, self.identity = base.network, base.identity
        self.lisa_config, self.tokenizer_dir = network.config, base.directory
        self.collator = collator_of(base, config)
        self.validator = collator_of(base, config, network.config.max_position_embeddings)
        cache = cache_of(network, config, accelerator.num_processes)
        self.sampler = MicroBatchSampler(
            accelerator.process_index,
            accelerator.num_processes,
            config.batch.batch_size,
            config.batch.accumulation,
        )
        self.data = MicroBatchDataset(items, self.collator, config.batch.batch_size, cache)
        objective = objective_of(network, cache, config.coarse_weight).to(accelerator.device)
        self.loss_names = objective.loss_names
        parameters = [p for p in objective.parameters() if p.requires_grad]
        optimizer = build_optimizer(parameters, config.optimizer, accelerator.device)
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)

    def _resume(self, accepted: Sequence[str]) -> None:
        if self.run.last.exists():
            checkpoint = read_checkpoint(self.run.last)
            self._load(checkpoint)
            self._run_on_main(lambda: check_identity(checkpoint.identity, self.identity, self.run.last, accepted))
        self._began_at = self.state.step
        for group in self.optimizer.param_groups:  # a saved state brings the old ones
            group.update(optimizer_options(self.config.optimizer))
        if self.is_main:
            self.run.cut_log(self.state)

    def _load(self, checkpoint: TrainingCheckpoint) -> None:
        if is_deepspeed(self.accelerator):
            load_deepspeed(self.objective, self.run.path, checkpoint.state.step)
        elif checkpoint.optimizer is None:
            raise TrainingError(
                f"{self.run.last} has no state of the optimizer: it is a copy of {self.run.best.name}, or was saved "
                "under DeepSpeed. Resume with DeepSpeed, or merge it and start a new run_dir from the result"
            )
        else:
            scatter(self.accelerator, self.objective, self.optimizer, checkpoint.weights, checkpoint.optimizer)
        self.state = checkpoint.state

    def train(self) -> TrainerState:
        """Trains until `batch.steps`; on SIGTERM or Ctrl-C it saves after the current step and returns.

        Returns:
            The progress of the run.

        Raises:
            TrainingError: If a loss is not finite, the disk is full, or data cannot be used. The last saved state stays
                valid, and the same command resumes from it.
        """
        config, state = self.config, self.state
        steps, log = config.batch.steps, TrainingLog(self.run, state.step, config.batch.steps, self.is_main)
        first_items = list(self.sampler.first_items(state.items, steps - state.step))
        self.objective.train()
        try:
            # Before the workers start: they inherit the handling of Ctrl-C.
            with raise_on_dead_worker(), stop_requests() as stop:
                batches = zip(
                    first_items, load_micro_batches(self.data, first_items, config.batch.workers), strict=True
                )
                if self._validation_is_due():  # the run was stopped before it
                    self._validate(log)
                    self._save()
                while state.step < steps:
                    values, stopping = self._step(batches, stop)
                    log.log_step(state.step, values, self.sampler.items_per_step)
                    done, validating = state.step == steps, self._validation_is_due() and not stopping
                    if done or stopping or validating or state.step % config.checkpoint_every == 0:
                        self._save()
                    if validating:  # what is learnt is safe by now, whatever a picture does to the validation
                        self._validate(log)
                        self._save()
                    if stopping:
                        log.print(f"stopped at step {state.step}; the same command resumes from there")
                        break
        finally:
            log.close()
            self.run.release()
        return state

    def _step(self, batches: Iterator[tuple[int, MicroBatch]], stop: Sequence[int]) -> tuple[dict[str, float], bool]:
        """One optimizer step: its mean losses over micro-batches and processes, and whether anyone wants to stop."""
        config, accelerator, state = self.config, self.accelerator, self.state
        rate = config.optimizer.lr * learning_rate_factor(state.step, config.optimizer.warmup_steps, config.batch.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums, norm = StepSums.zero(accelerator.device), torch.zeros(())
        keys, size = [], config.batch.batch_size
        for _ in range(config.batch.accumulation):
            first, micro = next(batches)
            keys += micro.batch.keys
            for reason in micro.skipped:
                self.run.append_skipped(self.sampler.rank, reason)
            torch.manual_seed(seed_of(config.seed, first))
            with accelerator.accumulate(self.objective):
                losses = self.objective(micro.batch.to(accelerator.device))
                reduced = StepSums.of(losses, len(micro.skipped), bool(stop)).all_reduce(accelerator)
                if not reduced.is_finite():
                    own = losses.loss.item()
                    if math.isfinite(own):
                        raise TrainingError(
                            f"another process's loss is not finite at step {state.step}; its own message says more"
                        )
                    self._raise_diverged(f"the loss is {own}", keys[-size:])
                sums = sums.plus(reduced)
                accelerator.backward(losses.loss)
                if accelerator.sync_gradients:
                    norm = self._clip(keys)
                self.optimizer.step()
                self.optimizer.zero_grad()
        means = sums.mean_losses(config.batch.accumulation * self.sampler.world_size, self.loss_names)
        state.step += 1
        state.items += self.sampler.items_per_step
        state.skipped += int(sums.skipped)
        values = {**means, "lr": rate, "grad_norm": float(norm), "skipped": state.skipped}
        return values, bool(sums.stop_requests > 0)

    def _clip(self, keys: Sequence[str]) -> torch.Tensor:
        if is_deepspeed(self.accelerator):  # clips by itself, in the step that `backward` has made
            return torch.tensor(float(self.objective.get_global_grad_norm() or 0.0))
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), self.config.optimizer.clip)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if not torch.isfinite(norm):
            self._raise_diverged(f"the gradient's norm is {float(norm)}", keys)
        return norm

    def _raise_diverged(self, problem: str, keys: Sequence[str]) -> None:
        where = f"{problem} at step {self.state.step} (items {', '.join(keys)})"
        advice = "Lower optimizer.lr, or look at these items, and start the same command again"
        if not self.run.last.exists():
            raise TrainingError(f"{where}; nothing was saved yet. {advice}")
        if self.state.step == self._began_at:
            raise TrainingError(
                f"{where}, the first after {self.run.last}: look at these items; if there is nothing wrong with them "
                f"that state is already damaged, and {self.run.best.name}, merged, can start another run_dir"
            )
        raise TrainingError(f"{where}; what was saved last is in {self.run.last}. {advice}")

    def _validation_is_due(self) -> bool:
        step, config = self.state.step, self.config
        at = step == config.batch.steps or step % config.validation.every == 0
        return bool(self.validations) and at and step > self.state.validated

    def _validate(self, log: TrainingLog) -> None:
        config, step = self.config.validation, self.state.step
        self.state.validated = step
        for number, (name, samples) in enumerate(self.validations.items()):
            pictures = self.run.path / "samples" / name.replace("|", "_").replace("/", "_") / f"step_{step:06d}"
            scored = validate(
                self.objective,
                samples,
                self.validator,
                self.lisa_config,
                self.accelerator,
                max_images=config.max_images,
                pictures=pictures,
                picture_count=config.pictures,
                skip_limit=self.config.data.skip_limit,
            )
            metrics = scored.metrics
            self._log_left_out(log, name, scored.left_out)
            log.log_validation(step, name, scores(metrics), pictures)
            if number == 0:
                self._restart_best_on_new_data(f"{name}, max_images {config.max_images}", log)
            if number == 0 and metrics.giou > (-1.0 if self.state.best_giou is None else self.state.best_giou):
                self.state.best_giou = metrics.giou
                weights = gather_weights(self.accelerator, self.objective)
                self._write(
                    self.run.best, TrainingCheckpoint(self.state, weights, None, scores(metrics), self.identity)
                )

    def _restart_best_on_new_data(self, measure: str, log: TrainingLog) -> None:
        """Scores of different validation data are not comparable: the best score starts again."""
        state = self.state
        if state.best_of != measure and state.best_giou is not None:
            log.print(f"best.pt was the best on {state.best_of}; from now on it is that on {measure}")
            state.best_giou = None
        state.best_of = measure

    def _log_left_out(self, log: TrainingLog, name: str, reasons: Sequence[str]) -> None:
        for reason in reasons if self.is_main else ():
            self.run.append_skipped(self.sampler.rank, f"{name}: {reason}")
        if reasons:
            log.print(f"{name}: {len(reasons)} images cannot be scored, as {reasons[0]}")

    def _save(self) -> None:
        accelerator = self.accelerator
        weights = gather_weights(accelerator, self.objective)
        if is_deepspeed(accelerator):
            save_deepspeed(self.objective, self.run.path, self.state.step)
            optimizer = None
        else:
            optimizer = gather_optimizer(accelerator, self.objective, self.optimizer)
        self._write(self.run.last, TrainingCheckpoint(self.state, weights, optimizer, identity=self.identity))
        if self.is_main and is_deepspeed(accelerator):
            drop_old_deepspeed(self.run.path, self.state.step)

    def _write(self, path: Path, checkpoint: TrainingCheckpoint) -> None:
        """Writes from the main process; if that fails, every process raises."""
        self._run_on_main(lambda: self.run.save(path, checkpoint))

    def _run_on_main(self, action: Callable[[], None]) -> None:
        """Does something in the main process; all wait for it, and if it fails every process raises TrainingError."""
        problem = [None]
        if self.is_main:
            try:
                action()
            except TrainingError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0] is not None:
            raise TrainingError(problem[0])
