"""The training loop: the same for one process and for many, on the CPU, on GPUs and on several nodes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from lisa_ros.types import Sample
from training.checkpointing import Progress, RunDirectory, State, read_state
from training.devices import (
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
from training.errors import TrainingError
from training.identity import check_identity
from training.network import build, cache_of, collator_of
from training.objective import LisaObjective
from training.quantized import build_optimizer, optimizer_options
from training.report import Report, device_line, parameters_line
from training.schedule import learning_rate_factor
from training.settings import Settings, dump_settings
from training.signals import stop_requests
from training.stream import Items, MicroBatch, MicroBatches, Position, dead_workers_told, loader
from training.validation import scores, validate

Validations = Mapping[str, Sequence[Sample]]


class Trainer:
    """One run: goes on from `run_dir/last.pt` where that exists. Every process of the run makes one.

    items: the training stream. validations: named sets; the first one's gIoU decides which checkpoint is the best.
    accepted: differences from the checkpoint that are wanted (training.identity). about: lines on the data, to tell.
    """

    def __init__(
        self,
        settings: Settings,
        items: Items,
        validations: Validations,
        accepted: Sequence[str] = (),
        about: Sequence[str] = (),
    ) -> None:
        self.settings, self.validations = settings, validations
        self.accelerator = make_accelerator(settings)
        self.run = RunDirectory(settings.run_dir)
        self.main = self.accelerator.is_main_process
        self._on_main(self.run.prepare)
        self.progress = Progress()
        try:
            self._tell(*about, device_line(self.accelerator, settings), f"loading {settings.model.source} ...")
            self._build(items)
            self._tell(parameters_line(self.objective))
            self._resume(accepted)
        except BaseException:
            self.run.release()
            raise
        if self.main:  # not before the checkpoint fits: they are a record of how it came about
            changed = self.run.save_settings(dump_settings(settings))
            if changed and self.progress.step:
                print(f"goes on from step {self.progress.step} with other settings: {', '.join(changed)}")

    def _tell(self, *lines: str) -> None:
        for line in lines if self.main else ():
            print(line, flush=True)

    def _build(self, items: Items) -> None:
        settings, accelerator = self.settings, self.accelerator
        checkpoint = build(settings, accelerator.device, identified=self.main)
        network, self.identity = checkpoint.network, checkpoint.identity
        self.config, self.tokenizer_dir = network.config, checkpoint.directory
        self.collator = collator_of(checkpoint, settings)
        self.validator = collator_of(checkpoint, settings, network.config.max_position_embeddings)
        cache = cache_of(network, settings, accelerator.num_processes)
        self.position = Position(
            accelerator.process_index,
            accelerator.num_processes,
            settings.batch.batch_size,
            settings.batch.accumulation,
        )
        self.data = MicroBatches(items, self.collator, settings.batch.batch_size, cache)
        objective = LisaObjective(network, cache).to(accelerator.device)
        parameters = [p for p in objective.parameters() if p.requires_grad]
        optimizer = build_optimizer(parameters, settings.optimizer, accelerator.device)
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)

    def _resume(self, accepted: Sequence[str]) -> None:
        if self.run.last.exists():
            state = read_state(self.run.last)
            self._load(state)
            self._on_main(lambda: check_identity(state.identity, self.identity, self.run.last, accepted))
        self._began_at = self.progress.step
        for group in self.optimizer.param_groups:  # a saved state brings those of the time before
            group.update(optimizer_options(self.settings.optimizer))
        if self.main:
            self.run.cut_log(self.progress)

    def _load(self, state: State) -> None:
        if is_deepspeed(self.accelerator):
            load_deepspeed(self.objective, self.run.path, state.progress.step)
        elif state.optimizer is None:
            raise TrainingError(
                f"{self.run.last} has no state of the optimiser: it is a copy of {self.run.best.name}, or was saved "
                "under DeepSpeed. Go on under DeepSpeed, or merge it and begin anew from that in another run_dir"
            )
        else:
            scatter(self.accelerator, self.objective, self.optimizer, state.weights, state.optimizer)
        self.progress = state.progress

    def train(self) -> Progress:
        """Runs to `batch.steps`; on SIGTERM or Ctrl-C saves after the step in hand and returns.

        Raises TrainingError for a loss that is not finite, a full disk, or data that cannot be used; the last saved
        state is then good, and the same command goes on from it.
        """
        settings, progress = self.settings, self.progress
        steps, report = settings.batch.steps, Report(self.run, progress.step, settings.batch.steps, self.main)
        firsts = list(self.position.firsts(progress.items, steps - progress.step))
        self.objective.train()
        try:
            # Before the workers start: they inherit the patience with Ctrl-C.
            with dead_workers_told(), stop_requests() as stop:
                batches = zip(firsts, loader(self.data, firsts, settings.batch.workers), strict=True)
                if self._validation_is_due():  # the run was stopped before it
                    self._validate(report)
                    self._save()
                while progress.step < steps:
                    values, stopping = self._step(batches, stop)
                    report.step(progress.step, values, self.position.items_per_step)
                    done, validating = progress.step == steps, self._validation_is_due() and not stopping
                    if done or stopping or validating or progress.step % settings.checkpoint_every == 0:
                        self._save()
                    if validating:  # what is learnt is safe by now, whatever a picture does to the validation
                        self._validate(report)
                        self._save()
                    if stopping:
                        report.say(f"stopped at step {progress.step}; the same command goes on from there")
                        break
        finally:
            report.close()
            self.run.release()
        return progress

    def _step(self, batches: Iterator[tuple[int, MicroBatch]], stop: Sequence[int]) -> tuple[dict[str, float], bool]:
        """One optimiser step: its mean losses over micro-batches and processes, and whether anyone wants to stop."""
        settings, accelerator, progress = self.settings, self.accelerator, self.progress
        rate = settings.optimizer.lr * learning_rate_factor(
            progress.step, settings.optimizer.warmup_steps, settings.batch.steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total, norm = torch.zeros(6, device=accelerator.device), torch.zeros(())
        keys, size = [], settings.batch.batch_size
        for _ in range(settings.batch.accumulation):
            first, micro = next(batches)
            keys += micro.batch.keys
            for reason in micro.skipped:
                self.run.append_skipped(self.position.rank, reason)
            torch.manual_seed(seed_of(settings.seed, first))
            with accelerator.accumulate(self.objective):
                losses = self.objective(micro.batch.to(accelerator.device))
                counts = [len(micro.skipped), float(bool(stop))]
                record = torch.stack([*(v.detach().float() for v in losses), *losses.loss.new_tensor(counts).float()])
                record = accelerator.reduce(record, "sum")
                if not torch.isfinite(record).all():
                    own = losses.loss.item()
                    if math.isfinite(own):
                        raise TrainingError(
                            f"another process's loss is not finite at step {progress.step}; its own message says more"
                        )
                    self._refuse(f"the loss is {own}", keys[-size:])
                total += record
                accelerator.backward(losses.loss)
                if accelerator.sync_gradients:
                    norm = self._clip(keys)
                self.optimizer.step()
                self.optimizer.zero_grad()
        mean = (total[:4] / (settings.batch.accumulation * self.position.world)).tolist()
        progress.step += 1
        progress.items += self.position.items_per_step
        progress.skipped += int(total[4])
        named = dict(zip(("loss", "ce", "mask_bce", "mask_dice"), mean, strict=True))
        return {**named, "lr": rate, "grad_norm": float(norm), "skipped": progress.skipped}, bool(total[5] > 0)

    def _clip(self, keys: Sequence[str]) -> torch.Tensor:
        if is_deepspeed(self.accelerator):  # clips by itself, in the step that `backward` has made
            return torch.tensor(float(self.objective.get_global_grad_norm() or 0.0))
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), self.settings.optimizer.clip)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if not torch.isfinite(norm):
            self._refuse(f"the gradient's norm is {float(norm)}", keys)
        return norm

    def _refuse(self, problem: str, keys: Sequence[str]) -> None:
        where = f"{problem} at step {self.progress.step} (items {', '.join(keys)})"
        advice = "Lower optimizer.lr, or look at these items, and start the same command again"
        if not self.run.last.exists():
            raise TrainingError(f"{where}; nothing was saved yet. {advice}")
        if self.progress.step == self._began_at:
            raise TrainingError(
                f"{where}, the first after {self.run.last}: look at these items; if there is nothing wrong with them "
                f"that state is spoilt already, and {self.run.best.name}, merged, can begin another run_dir"
            )
        raise TrainingError(f"{where}; what was saved last is in {self.run.last}. {advice}")

    def _validation_is_due(self) -> bool:
        step, settings = self.progress.step, self.settings
        at = step == settings.batch.steps or step % settings.validation.every == 0
        return bool(self.validations) and at and step > self.progress.validated

    def _validate(self, report: Report) -> None:
        settings, step = self.settings.validation, self.progress.step
        self.progress.validated = step
        for number, (name, samples) in enumerate(self.validations.items()):
            pictures = self.run.path / "samples" / name.replace("|", "_").replace("/", "_") / f"step_{step:06d}"
            scored = validate(
                self.objective,
                samples,
                self.validator,
                self.config,
                self.accelerator,
                max_images=settings.max_images,
                pictures=pictures,
                picture_count=settings.pictures,
                skip_limit=self.settings.data.skip_limit,
            )
            metrics = scored.metrics
            self._tell_left_out(report, name, scored.left_out)
            report.validation(step, name, scores(metrics), pictures)
            if number == 0:
                self._compare_with(f"{name}, max_images {settings.max_images}", report)
            if number == 0 and metrics.giou > (-1.0 if self.progress.best_giou is None else self.progress.best_giou):
                self.progress.best_giou = metrics.giou
                weights = gather_weights(self.accelerator, self.objective)
                self._write(self.run.best, State(self.progress, weights, None, scores(metrics), self.identity))

    def _compare_with(self, measure: str, report: Report) -> None:
        """A score is the best of its kind only: other validation data begin anew."""
        progress = self.progress
        if progress.best_of != measure and progress.best_giou is not None:
            report.say(f"best.pt was the best on {progress.best_of}; from now on it is that on {measure}")
            progress.best_giou = None
        progress.best_of = measure

    def _tell_left_out(self, report: Report, name: str, reasons: Sequence[str]) -> None:
        for reason in reasons if self.main else ():
            self.run.append_skipped(self.position.rank, f"{name}: {reason}")
        if reasons:
            report.say(f"{name}: {len(reasons)} images cannot be scored, as {reasons[0]}")

    def _save(self) -> None:
        accelerator = self.accelerator
        weights = gather_weights(accelerator, self.objective)
        if is_deepspeed(accelerator):
            save_deepspeed(self.objective, self.run.path, self.progress.step)
            optimizer = None
        else:
            optimizer = gather_optimizer(accelerator, self.objective, self.optimizer)
        self._write(self.run.last, State(self.progress, weights, optimizer, identity=self.identity))
        if self.main and is_deepspeed(accelerator):
            drop_old_deepspeed(self.run.path, self.progress.step)

    def _write(self, path: Path, state: State) -> None:
        """Writes from the main process; if that fails, every process raises."""
        self._on_main(lambda: self.run.save(path, state))

    def _on_main(self, action: Callable[[], None]) -> None:
        """Does something in the main process; all wait for it, and if it fails every process raises TrainingError."""
        problem = [None]
        if self.main:
            try:
                action()
            except TrainingError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0] is not None:
            raise TrainingError(problem[0])
