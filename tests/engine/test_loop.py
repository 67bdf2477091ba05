import itertools
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from humanpt.engine.checkpoint import read_header
from humanpt.engine.loop import LAST
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.report import Silent
from humanpt.errors import CheckpointError, ConfigError, OutputError, ShardError, TrainingError
from tests.engine.toy_task import LOOP, OPTIM, ToyBatch, ToyTask, log_of, make_batches, run_toy, same_tensors


class Told(Silent):
    """A report that keeps what it is told."""

    def __init__(self):
        self.stages, self.amounts, self.figures, self.notes = [], [], {}, []

    def stage(self, name, total, unit):
        self.stages.append((name, total, unit))

    def advance(self, amount=1, **figures):
        self.amounts.append(amount)
        self.figures |= figures

    def note(self, text):
        self.notes.append(text)


def test_training_lowers_the_held_out_loss_and_tells_what_it_did(tmp_path):
    result = run_toy(tmp_path, steps=60, eval_every=20)
    log = log_of(tmp_path)
    heldout = [line["heldout_loss"] for line in log if "heldout_loss" in line]
    assert heldout[-1] < 0.8 * heldout[0]
    assert (result.steps, result.new_steps, result.interrupted) == (60, 60, False)
    assert (result.best_loss, result.best_by) == (min(heldout), "held-out loss")
    assert result.figures["heldout_loss"] == heldout[-1]
    assert result.samples_per_second > 0
    assert result.seconds > 0


def test_the_log_has_one_line_per_logged_step_with_every_figure(tmp_path):
    run_toy(tmp_path, steps=9, log_every=3)
    log = log_of(tmp_path, timed=True)
    assert [line["step"] for line in log] == [3, 6, 9]
    named = {"step", "loss", "absolute", "seldom", "grad_norm", "lr", "pairs_per_second", "waiting", "peak_memory_gib"}
    assert set(log[0]) == named
    assert set(log[2]) == {*named, "heldout_loss"}
    assert 0 <= log[0]["waiting"] <= 1


def test_a_logged_loss_is_the_mean_over_the_steps_since_the_line_before(tmp_path):
    run_toy(tmp_path / "each", steps=6, log_every=1)
    run_toy(tmp_path / "three", steps=6, log_every=3)
    each, three = log_of(tmp_path / "each"), log_of(tmp_path / "three")
    for name in ("loss", "absolute", "grad_norm"):
        means = [sum(line[name] for line in each[a : a + 3]) / 3 for a in (0, 3)]
        assert [line[name] for line in three] == pytest.approx(means, rel=1e-6)


def test_the_rate_is_set_anew_for_each_step(tmp_path):
    run_toy(tmp_path, steps=6, log_every=1)
    schedule = OPTIM.schedule(LOOP.batch_size, steps_per_epoch=1)
    assert [line["lr"] for line in log_of(tmp_path)] == [schedule.rate(step) for step in range(6)]


class Plain(ToyTask):
    """Without dropout, so that only the batches differ."""

    def __init__(self):
        super().__init__()
        self.model[2] = torch.nn.Identity()


class Halves:
    """Each batch of a stream as two."""

    def __init__(self, batches):
        self.batches = batches

    def __call__(self, first_step):
        for batch in self.batches(first_step):
            yield ToyBatch(batch.x[:4], batch.y[:4])
            yield ToyBatch(batch.x[4:], batch.y[4:])


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path):
    whole = make_batches(LoopConfig(batch_size=8))
    run_toy(tmp_path / "one", task=Plain, batches=whole, accumulate=1, clip_norm=0.3)
    run_toy(tmp_path / "two", task=Plain, batches=Halves(whole), accumulate=2, clip_norm=0.3)
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    weights = [name for name in one if name.startswith("model")]
    torch.testing.assert_close([one[n] for n in weights], [two[n] for n in weights], rtol=1e-4, atol=1e-5)


def test_clipping_bounds_the_gradient_that_the_optimiser_sees(tmp_path):
    run_toy(tmp_path, task=Plain, steps=1, clip_norm=0.01)
    moments = [v for name, v in load_file(tmp_path / "last.safetensors").items() if name.endswith("exp_avg")]
    norm = torch.cat([moment.flatten() for moment in moments]).norm() / 0.1  # after one step a moment is 0.1 gradients
    assert norm.item() == pytest.approx(0.01, rel=1e-3)
    assert log_of(tmp_path)[0]["grad_norm"] > 0.1  # the log tells the norm before clipping


def test_the_best_checkpoint_is_that_of_the_lowest_held_out_loss(tmp_path):
    class UpAndDown(ToyTask):
        losses = iter([3.0, 1.0, 2.0, 1.0])

        def evaluate(self):
            return {"loss": next(self.losses), "extra": 5.0}

    result = run_toy(tmp_path, task=UpAndDown, steps=8, eval_every=2)
    assert (result.best_loss, result.best_step, result.best) == (1.0, 4, tmp_path / "best.safetensors")
    assert read_header(result.best).step == 4
    assert read_header(result.best).metrics["heldout_extra"] == 5.0
    assert read_header(result.last).step == 8


def test_with_nothing_held_out_the_training_loss_since_the_last_evaluation_chooses_the_best(tmp_path):
    result = run_toy(tmp_path, task=lambda: ToyTask(heldout=False), steps=8, eval_every=4, log_every=1)
    losses = [line["loss"] for line in log_of(tmp_path)]
    means = [sum(losses[:4]) / 4, sum(losses[4:]) / 4]
    assert result.best_by == "training loss"
    assert result.best_loss == pytest.approx(min(means), rel=1e-6)
    assert result.best_step == (4 if means[0] <= means[1] else 8)


def test_the_report_is_told_every_step_and_the_figures(tmp_path):
    told = Told()
    run_toy(tmp_path, steps=4, report=told)
    assert told.stages == [("training", 4, "step")]
    assert sum(told.amounts) == 4
    assert set(told.figures) == {"loss", "pairs/s"}


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, small_disk):
    with small_disk(100), pytest.raises(OutputError, match=r"log.jsonl: cannot be written \(File too large\)") as error:
        run_toy(tmp_path, steps=2)
    assert "\n" not in str(error.value)


def test_a_cosine_that_ends_before_the_run_is_noted(tmp_path):
    told = Told()
    run_toy(tmp_path, steps=101, save_every=None, report=told)
    assert told.notes == [
        "the learning rate reaches 0 at step 100 of 101; optim.cosine_steps=101 or more uses the steps after it"
    ]


def test_a_run_in_epochs_has_as_many_steps_as_the_data_make():
    assert LoopConfig(epochs=2.5, batch_size=8).total_steps(epoch_size=100) == 31
    assert LoopConfig(epochs=2.5, batch_size=8, steps=7).total_steps(epoch_size=100) == 7
    assert LoopConfig(epochs=1, batch_size=256).total_steps(epoch_size=3) == 1


@pytest.mark.parametrize(
    "fields", [{"steps": 0}, {"epochs": -1}, {"log_every": 0}, {"save_seconds": -1}, {"clip_norm": 0}]
)
def test_an_impossible_length_is_refused_by_name(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        LoopConfig(**fields)


def test_a_batch_that_does_not_split_evenly_is_refused():
    with pytest.raises(ConfigError, match="does not split into 3 equal batches"):
        LoopConfig(batch_size=256, accumulate=3)


def test_a_folder_that_holds_a_run_is_not_trained_over(tmp_path):
    run_toy(tmp_path, steps=3)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(OutputError, match="already holds a run"):
        run_toy(tmp_path, steps=3)
    assert (tmp_path / "last.safetensors").read_bytes() == before


class Poisoned(ToyTask):
    """From one call of the loss on, something is not a number."""

    def __init__(self, call, how):
        super().__init__()
        self.call, self.how = call, how

    def loss(self, batch):
        loss, figures = super().loss(batch)
        if self.calls == self.call:
            if self.how == "loss":
                loss = loss * float("nan")
            elif self.how == "gradient":
                loss = loss + (self.model[0].bias * 0).sum().sqrt()  # its slope at 0 is infinite, times 0
            elif self.how == "weight":
                self.model[3].bias.grad = None
                self.model[3].bias.data[0] = float("inf")
                return (loss * 0).nan_to_num(), {}
        return loss, figures

    def evaluate(self):
        return {"loss": float("inf")} if self.how == "evaluation" else {}


@pytest.mark.parametrize(
    ("how", "what"), [("loss", "the loss is nan"), ("gradient", "the norm of the gradient is nan")]
)
def test_a_figure_that_is_not_a_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, how, what):
    with pytest.raises(TrainingError, match=f"^step 5: {what}; the last good checkpoint is .*step 3") as error:
        run_toy(tmp_path, task=lambda: Poisoned(call=10, how=how), save_every=3)  # two calls to a step
    assert "\n" not in str(error.value)
    assert read_header(tmp_path / "last.safetensors").step == 3
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4]


def test_an_infinite_weight_is_never_saved(tmp_path):
    with pytest.raises(TrainingError, match=r"step 6: 3.bias holds NaN or infinity; the last good.*step 3"):
        run_toy(tmp_path, task=lambda: Poisoned(call=12, how="weight"), save_every=3)
    assert read_header(tmp_path / "last.safetensors").step == 3


def test_a_held_out_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(TrainingError, match="step 4: the held-out loss is inf; nothing had been saved yet"):
        run_toy(tmp_path, task=lambda: Poisoned(call=0, how="evaluation"), steps=4, save_every=None)
    assert not (tmp_path / "best.safetensors").exists()


def test_ctrl_c_finishes_the_step_and_saves_so_that_the_run_can_go_on(tmp_path):
    class Pressed(ToyTask):
        def loss(self, batch):
            if self.calls == 8:  # within step 5 of 12
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(batch)

    result = run_toy(tmp_path / "a", task=Pressed, save_every=None)
    assert (result.interrupted, result.steps) == (True, 5)
    assert result.last == tmp_path / "a" / "last.safetensors"
    result = run_toy(tmp_path / "a", resume=result.last)
    assert (result.interrupted, result.steps, result.new_steps) == (False, 12, 7)
    run_toy(tmp_path / "b")
    assert same_tensors(tmp_path / "a" / "last.safetensors", tmp_path / "b" / "last.safetensors")
    assert log_of(tmp_path / "a") == log_of(tmp_path / "b")


def test_ctrl_c_that_ends_the_workers_too_still_saves(tmp_path):
    def batches(first_step):
        for number, batch in enumerate(make_batches()(first_step)):
            if number == 5:  # the second batch of step 3
                os.kill(os.getpid(), signal.SIGINT)
                raise RuntimeError("DataLoader worker (pid 1) exited unexpectedly")
            yield batch

    result = run_toy(tmp_path, batches=batches)
    assert (result.interrupted, result.steps) == (True, 2)
    run_toy(tmp_path, resume=result.last)


@pytest.mark.gpu
def test_on_a_gpu_a_bad_step_is_named_although_it_is_only_noticed_when_logged(tmp_path):
    how = {"device": "cuda", "precision": "bf16", "log_every": 8}
    run_toy(tmp_path / "good", **how)
    assert 0 <= log_of(tmp_path / "good", timed=True)[-1]["waiting"] <= 1
    with pytest.raises(TrainingError, match=r"^step 5: the loss is nan; the last good checkpoint is .*step 3"):
        run_toy(tmp_path / "bad", task=lambda: Poisoned(call=10, how="loss"), **how)


def test_a_worker_that_died_is_one_line(tmp_path):
    def batches(first_step):
        yield from ()
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. \nmore")

    with pytest.raises(
        TrainingError, match=r"^step 1: DataLoader worker \(pid 7\) is killed by signal: Killed; try fewer"
    ):
        run_toy(tmp_path, batches=batches)


class Broken(torch.utils.data.Dataset):
    def __getitem__(self, number):
        raise ShardError("pairs/03.h5: row 7 is damaged; write it again")


def test_an_error_of_a_worker_stays_one_line(tmp_path):
    def batches(first_step):
        return iter(torch.utils.data.DataLoader(Broken(), batch_size=None, sampler=range(9), num_workers=1))

    with pytest.raises(ShardError) as error:
        run_toy(tmp_path, batches=batches)
    assert str(error.value) == "pairs/03.h5: row 7 is damaged; write it again"


def test_batches_that_end_too_early_are_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="end before step 1"):
        run_toy(tmp_path, batches=lambda first_step: iter(()))


def test_resuming_a_finished_run_trains_nothing_and_says_so(tmp_path):
    last = run_toy(tmp_path, steps=4).last
    before, told = last.read_bytes(), Told()
    result = run_toy(tmp_path, steps=4, resume=last, report=told)
    assert (result.new_steps, result.samples_per_second, result.interrupted) == (0, 0.0, False)
    assert "4 of 4 steps already" in told.notes[0]
    assert last.read_bytes() == before


def test_a_checkpoint_of_another_model_is_not_resumed(tmp_path):
    last = run_toy(tmp_path, steps=2).last

    class Wider(ToyTask):
        def __init__(self):
            super().__init__()
            self.model[4] = torch.nn.Linear(16, 2)

    with pytest.raises(CheckpointError, match="another model"):
        run_toy(tmp_path, steps=4, resume=last, task=Wider)


def test_tensorboard_gets_the_same_figures_and_forgets_those_beyond_a_resume(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    last = run_toy(tmp_path, steps=6, log_every=1, tensorboard=True).last
    early = last.read_bytes()
    run_toy(tmp_path, steps=9, resume=last, log_every=1, tensorboard=True)
    last.write_bytes(early)  # as if killed at step 9 when the last checkpoint was that of step 6
    run_toy(tmp_path, steps=8, resume=last, log_every=1, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    assert losses == pytest.approx({line["step"]: line["loss"] for line in log_of(tmp_path)})
    assert list(losses) == list(range(1, 9))
    assert {"heldout_loss", "lr", "waiting"} <= set(events.Tags()["scalars"])


def test_curves_begin_with_the_first_weights_when_asked(tmp_path):
    result = run_toy(tmp_path, steps=4, eval_first=True)
    first, *others = log_of(tmp_path, timed=True)
    assert set(first) == {"step", "heldout_loss"}
    assert first["step"] == 0
    assert [line["step"] for line in others] == [2, 4]
    assert result.best_step == 4  # the first weights are no candidate
    run_toy(tmp_path, steps=6, eval_first=True, resume=result.last)
    assert [line["step"] for line in log_of(tmp_path)] == [0, 2, 4, 6]


def test_measuring_first_changes_nothing_in_training(tmp_path):
    run_toy(tmp_path / "with", eval_first=True)
    run_toy(tmp_path / "without")
    assert same_tensors(tmp_path / "with" / "last.safetensors", tmp_path / "without" / "last.safetensors")


def test_what_watches_the_log_is_noted_once_and_kept_over_a_resume(tmp_path):
    told, seen = Told(), []

    def watch(line):
        seen.append(line["step"])
        return ["too slow"] if line["step"] >= 4 else []

    result = run_toy(tmp_path, steps=8, report=told, watch=watch)
    assert seen == [2, 4, 6, 8]
    assert told.notes == ["too slow"]
    assert result.warnings == ("too slow",)
    again = run_toy(tmp_path, steps=10, report=told, watch=watch, resume=result.last)
    assert told.notes == ["too slow"]
    assert again.warnings == ("too slow",)


def test_a_tasks_pictures_go_to_tensorboard_after_each_evaluation(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Drawing(ToyTask):
        def pictures(self):
            return {"grey": np.full((4, 6, 3), 128, np.uint8)}

    run_toy(tmp_path, task=Drawing, steps=4, eval_every=2, eval_first=True, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    pictures = events.Images("grey")
    assert [(picture.step, picture.width, picture.height) for picture in pictures] == [(0, 6, 4), (2, 6, 4), (4, 6, 4)]


def test_a_run_that_ends_after_its_first_measurement_can_be_resumed(tmp_path):
    class EndsHere(RuntimeError):
        pass

    def ends(step):
        yield from itertools.islice(make_batches(LOOP)(step), 5)
        raise EndsHere

    with pytest.raises(EndsHere):
        run_toy(tmp_path, steps=9, batches=ends, eval_every=2, save_every=None)
    result = run_toy(tmp_path, steps=9, eval_every=2, save_every=None, resume=tmp_path / LAST)
    assert (result.steps, result.new_steps) == (9, 7)


def test_a_resume_does_not_shorten_a_run(tmp_path):
    last = run_toy(tmp_path, steps=4).last
    with pytest.raises(ConfigError, match="--steps 4 or more"):
        run_toy(tmp_path, steps=2, resume=last)
