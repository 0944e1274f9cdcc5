"""The training loop: schedule, resume, and stopping on a loss that is not finite."""

import contextlib
import json

import pytest
import torch

from lisa_ros.model.saving import write_atomically
from training.errors import TrainingError
from training.tabletop.loop import LoopOptions, fit, learning_rate_factor

pytestmark = pytest.mark.unit

OPTIONS = LoopOptions(steps=12, lr=0.05, warmup=3, save_every=4, sync_every=4, average=0.5)


def batches(first_step):
    step = first_step
    while True:
        yield torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        step += 1


def trained(run_dir, stop_after=None, poison=None):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    seen = 0

    def losses(batch):
        nonlocal seen
        seen += 1
        if stop_after is not None and seen > stop_after:
            raise KeyboardInterrupt
        loss = ((model(batch) - batch.sum(1, keepdim=True)) ** 2).mean()
        return {"loss": loss * float("nan") if seen == poison else loss}

    with contextlib.suppress(KeyboardInterrupt):
        fit(model, batches, losses, OPTIONS, run_dir)
    return model.state_dict()


def logged(run_dir):
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "broken", stop_after=6)
    resumed = trained(tmp_path / "broken")
    assert logged(tmp_path / "whole") == logged(tmp_path / "broken")
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)


def test_the_average_of_the_weights_is_kept_and_goes_on_after_a_stop(tmp_path):
    trained(tmp_path / "whole")
    trained(tmp_path / "broken", stop_after=6)
    early = torch.load(tmp_path / "broken" / "last.pt", weights_only=True)
    trained(tmp_path / "broken")
    whole, resumed = (torch.load(tmp_path / n / "last.pt", weights_only=True) for n in ("whole", "broken"))
    for key, value in whole["average"].items():
        torch.testing.assert_close(resumed["average"][key], value, rtol=0, atol=0)
        assert not torch.equal(value, whole["model"][key])
    # 12 steps are three averagings; the first one was half-way between the beginning and the weights of step 4.
    torch.manual_seed(0)
    begin = torch.nn.Linear(3, 1).state_dict()
    for key, value in early["average"].items():
        torch.testing.assert_close(value, (begin[key] + early["model"][key]) / 2)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="nan at step 6"):
        trained(tmp_path, poison=7)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 4


def test_schedule_rises_stays_and_falls():
    options = LoopOptions(steps=100, lr=1.0, warmup=10, decay_fraction=0.2)
    factors = [learning_rate_factor(step, options) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9:81] == [1.0] * 72
    assert factors[-1] == pytest.approx(1 / 20) and factors[80:] == sorted(factors[80:], reverse=True)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    write_atomically(path, lambda temporary: torch.save({"step": 1}, temporary))
    with pytest.raises(Exception, match=r"pickle|local"):
        write_atomically(path, lambda temporary: torch.save({"step": lambda: None}, temporary))
    assert list(tmp_path.iterdir()) == [path]
    assert torch.load(path, weights_only=True) == {"step": 1}
