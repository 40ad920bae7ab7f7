"""``watch``: sees everything, touches nothing."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot import InputError
from surefoot.errors import LogError, StateError
from surefoot.quantities import GradNorm, Quantity
from surefoot.schedules import linear
from tests.exact import INPUT, TARGET, assert_same, state, training, update


def run(model, optimizer, count, watch=None, scheduler=None):
    losses = []
    for _ in range(count):
        loss = update(model, optimizer)
        if watch is not None:
            watch.step(loss)
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses


OPTIMIZERS = {
    "SGD": None,
    "Adam fused": lambda model: torch.optim.Adam(model.parameters(), lr=0.01, fused=True),
    "LBFGS": lambda model: torch.optim.LBFGS(
        [p for p in model.parameters() if p.requires_grad], lr=0.1, max_iter=3
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_watched_run_ends_bit_identical_to_an_unwatched_one(name, tmp_path):
    model, optimizer = training(optimizer=OPTIMIZERS[name])
    losses = run(model, optimizer, 12)
    expected = state(model, optimizer)
    model, optimizer = training(optimizer=OPTIMIZERS[name])
    with sf.watch(model, optimizer, to=tmp_path / "run", every=3) as watch:
        assert run(model, optimizer, 12, watch) == losses
    ended = state(model, optimizer)
    for key in ("values", "gradients", "optimizer", "rng", "flags", "attributes"):
        assert_same(ended[key], expected[key])
    assert sf.read(tmp_path / "run")["loss"].values == pytest.approx(losses)


def test_the_columns_are_what_each_update_used(tmp_path):
    model, optimizer = training()
    scheduler = sf.Scheduler(optimizer, linear(8))
    used, norms, ratios = [], [], []
    with sf.watch(model, optimizer, to=tmp_path / "run", every=3) as watch:
        for number in range(8):
            optimizer.zero_grad()
            loss = (model(INPUT) - TARGET).square().mean()
            loss.backward()
            moving = [p for p in model.parameters() if p.grad is not None]
            before = torch.cat([p.detach().flatten() for p in moving])
            if number % 3 == 0:
                norms.append(torch.cat([p.grad.flatten() for p in moving]).norm().item())
            used.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            optimizer.zero_grad()  # before watch.step, as some loops have it
            after = torch.cat([p.detach().flatten() for p in moving])
            if number % 3 == 0:
                ratios.append(((after - before).norm() / before.norm()).item())
            watch.step(loss)
            scheduler.step()
            assert watch.updates == number + 1
    log = sf.read(tmp_path / "run")
    assert log["lr"].values.tolist() == [first for first, _ in used]
    assert log["lr/group1"].values.tolist() == [second for _, second in used]
    assert log["lr"].steps.tolist() == list(range(8))
    assert log["grad_norm"].steps.tolist() == [0, 3, 6]
    assert log["grad_norm"].values == pytest.approx(norms, rel=1e-5)
    assert "update_ratio" in log.names
    assert len(log["update_ratio"]) == 3


def test_the_update_ratio_of_a_known_step_is_recorded(tmp_path):
    weight = nn.ParameterList([nn.Parameter(torch.tensor([3.0, 4.0]))])
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.1)
    with sf.watch(weight, optimizer, to=tmp_path / "run", every=1) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            loss = weight[0].square().sum() / 2
            loss.backward()
            optimizer.step()
            watch.step(loss)
    log = sf.read(tmp_path / "run")
    assert log["update_ratio"].values == pytest.approx([0.1] * 3)
    assert log["grad_norm"].values == pytest.approx([5 * 0.9**k for k in range(3)])
    assert log["loss"].values == pytest.approx([12.5 * 0.81**k for k in range(3)])


def test_several_optimizer_steps_for_one_update_leave_the_last(tmp_path):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run", every=1) as watch:
        for lr in (0.5, 0.25):
            optimizer.param_groups[0]["lr"] = lr
            update(model, optimizer)
        watch.step(1.0)
        watch.step(2.0)  # a step that a GradScaler left out: no rate was used
    log = sf.read(tmp_path / "run")
    assert log["lr"].values.tolist() == [0.25]
    assert log["loss"].values.tolist() == [1.0, 2.0]


def test_validation_and_other_numbers_stand_at_their_update(tmp_path):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run") as watch:
        watch.validation(9.0)  # before training
        watch.log("accuracy", torch.tensor([[0.1]]))
        run(model, optimizer, 5, watch)
        watch.validation(torch.tensor(2.5))
        watch.log("accuracy", np.float32(0.5))
        run(model, optimizer, 5, watch)
        watch.validation(math.nan)
    log = sf.read(tmp_path / "run")
    assert log["validation_loss"].steps.tolist() == [0, 4, 9]
    assert log["validation_loss"].values.tolist()[:2] == [9.0, 2.5]
    assert math.isnan(log["validation_loss"].values[2])
    assert log["accuracy"].steps.tolist() == [0, 5]
    assert log["accuracy"].values == pytest.approx([0.1, 0.5])


def test_tags_describe_the_run_and_those_given_win(tmp_path):
    model, optimizer = training()
    tags = {"batch": 16, "model": "mine"}
    with sf.watch(model, optimizer, to=tmp_path / "run", tags=tags) as watch:
        assert watch.path == tmp_path / "run"
    tags = sf.read(tmp_path / "run").tags
    assert (tags["optimizer"], tags["model"], tags["batch"]) == ("SGD", "mine", 16)
    assert tags["parameters"] == sum(p.numel() for p in model.parameters())


class Largest(Quantity):
    cadence = 2

    def measure(self, update):
        weights = update.optimizer.param_groups[0]["params"]
        return {"largest": max(p.abs().max() for p in weights)}


def test_a_quantity_of_ones_own_keeps_its_cadence(tmp_path):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run", quantities=[Largest()], every=3) as watch:
        run(model, optimizer, 5, watch)
    assert sf.read(tmp_path / "run")["largest"].steps.tolist() == [0, 2, 4]


def test_an_existing_run_gets_a_numbered_sibling(tmp_path):
    model, optimizer = training()
    paths = []
    for _ in range(3):
        with sf.watch(model, optimizer, to=str(tmp_path / "run")) as watch:
            run(model, optimizer, 2, watch)
            paths.append(watch.path.name)
    assert paths == ["run", "run-2", "run-3"]


def test_resume_goes_on_counting(tmp_path):
    model, optimizer = training()
    for part in range(3):
        with sf.watch(model, optimizer, to=tmp_path / "run", every=4, resume=part > 0) as watch:
            assert watch.updates == 5 * part
            run(model, optimizer, 5, watch)
    log = sf.read(tmp_path / "run")
    assert log["loss"].steps.tolist() == log["lr"].steps.tolist() == list(range(15))
    assert log["grad_norm"].steps.tolist() == [0, 4, 8, 12]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_without_a_single_update_is_resumed_at_zero(tmp_path):
    model, optimizer = training()
    sf.watch(model, optimizer, to=tmp_path / "run").close()
    with sf.watch(model, optimizer, to=tmp_path / "run", resume=True) as watch:
        assert watch.updates == 0


class Broken(Exception):
    pass


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_after_an_exception_the_record_is_whole_and_the_hooks_are_off(error, tmp_path):
    model, optimizer = training()

    def interrupted(watch):
        run(model, optimizer, 4, watch)
        update(model, optimizer)
        raise error

    with pytest.raises(error), sf.watch(model, optimizer, to=tmp_path / "run", every=1) as watch:
        interrupted(watch)
    log = sf.read(tmp_path / "run")
    assert log["loss"].steps.tolist() == log["lr"].steps.tolist() == [0, 1, 2, 3]
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("call", ["step", "validation", "log"])
def test_a_closed_watch_records_no_more(call, tmp_path):
    model, optimizer = training()
    watch = sf.watch(model, optimizer, to=tmp_path / "run")
    watch.close()
    watch.close()
    arguments = ("x", 1.0) if call == "log" else (1.0,)
    with pytest.raises(StateError, match="record inside its with block"):
        getattr(watch, call)(*arguments)
    update(model, optimizer)
    assert len(sf.read(tmp_path / "run")) == 0


def test_a_loss_may_be_any_single_number_and_keeps_no_graph(tmp_path):
    model, optimizer = training()
    losses = [1, 2.0, np.float32(3), torch.tensor(4.0), torch.tensor([[5.0]]), math.nan, math.inf]
    losses.append(model(INPUT).sum() * 0 + 6.0)
    with sf.watch(model, optimizer, to=tmp_path / "run") as watch:
        for loss in losses:
            watch.step(loss)
    values = sf.read(tmp_path / "run")["loss"].values
    assert values == pytest.approx([1, 2, 3, 4, 5, math.nan, math.inf, 6], nan_ok=True)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (torch.ones(2), r"loss must be a scalar, not a tensor of shape \(2,\)"),
        ("low", "loss must be a number"),
        ([1.0], "loss must be a number"),
        (np.ones(3), "loss must be one number"),
    ],
)
def test_a_loss_that_is_no_scalar_is_refused_and_not_counted(loss, said, tmp_path):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run") as watch:
        for call in (watch.step, watch.validation, lambda value: watch.log("loss", value)):
            with pytest.raises(InputError, match=said):
                call(loss)
        assert watch.updates == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": 3}, "model must be a torch.nn.Module, not a int"),
        ({"optimizer": 3}, "optimizer must be a torch.optim.Optimizer, not a int"),
        ({"every": 0}, "every must be at least 1"),
        ({"quantities": [GradNorm]}, r"such as surefoot.quantities.GradNorm\(\), not <class"),
        ({"tags": {"x": object()}}, "cannot be written as JSON"),
        ({"resume": True}, "no run to resume"),
    ],
)
def test_says_what_is_not_allowed_and_makes_no_run(changes, said, tmp_path):
    model, optimizer = training()
    arguments = {"model": model, "optimizer": optimizer, "to": tmp_path / "run", **changes}
    with pytest.raises((InputError, LogError), match=said):
        sf.watch(**arguments)
    assert not (tmp_path / "run").exists()
    assert not optimizer._optimizer_step_pre_hooks


def test_watching_draws_no_random_number(tmp_path):
    model, optimizer = training()
    update(model, optimizer)
    states = torch.get_rng_state(), random.getstate()
    with sf.watch(model, optimizer, to=tmp_path / "run", every=1) as watch:
        optimizer.step()
        watch.step(1.0)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def test_a_checkpoint_older_than_the_record_replaces_what_came_after_it(tmp_path):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run") as watch:
        for number in range(50):
            watch.step(update(model, optimizer))
            if number % 7 == 6:
                watch.validation(1.0)
    with sf.watch(model, optimizer, to=tmp_path / "run", resume=True, first=40) as watch:
        for _ in range(20):
            watch.step(9.0)
    log = sf.read(tmp_path / "run")
    assert log["validation_loss"].steps.tolist() == [6, 13, 20, 27, 34]
    with sf.watch(model, optimizer, to=tmp_path / "run", resume=True) as watch:
        assert watch.updates == 60
    loss = log["loss"]
    assert loss.steps.tolist() == list(range(60))
    assert loss.values[40:].tolist() == [9.0] * 20
    with pytest.raises(InputError, match="first must be at least 0"):
        sf.watch(model, optimizer, to=tmp_path / "other", first=-1)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_step_per_micro_batch_is_told_once_and_norms_are_still_measured(tmp_path, accumulate):
    model, optimizer = training()

    def train():
        with sf.watch(model, optimizer, to=tmp_path / "run", every=10) as watch:
            for number in range(200):
                last = number % accumulate == accumulate - 1
                watch.step(update(model, optimizer) if last else 1.0)

    with pytest.warns(RuntimeWarning, match="not per micro-batch") as warned:
        train()
    assert len(warned) == 1
    assert len(sf.read(tmp_path / "run")["grad_norm"]) == 20 // accumulate
