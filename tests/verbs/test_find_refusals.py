"""What ``find`` and ``sweep`` cannot measure they refuse, instead of measuring something else."""

from collections import UserDict

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import surefoot as sf
from surefoot._engine import groups
from surefoot._engine.batches import Batches, map_leaves
from surefoot.errors import InputError
from tests.exact import INPUT, TARGET, training, update


def find(step, optimizer, **options):
    return sf.find(step, optimizer, steps=200, progress=False, **options)


def test_a_loop_that_sets_its_own_rate_is_refused():
    model, optimizer = training()

    def step():
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        return update(model, optimizer)

    with pytest.raises(InputError, match="must leave the learning rate alone"):
        find(step, optimizer, restore=[model])
    assert groups.read(optimizer)[0] != 0.1
    assert not optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize("steps", [20, 100, 1000])
def test_a_loop_that_steps_another_optimizer_is_refused(steps):
    model, optimizer = training()
    other = torch.optim.SGD(model.parameters(), lr=0.01)
    with pytest.raises(InputError, match="must step the optimizer that find is given"):
        sf.find(lambda: update(model, other), optimizer, restore=[model, other], steps=steps)


def test_a_scaler_may_skip_the_first_updates():
    model, optimizer = training()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)

    def step():
        loss = (model(INPUT) - TARGET).square().mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    assert find(step, optimizer, restore=[model, scaler]).lr > 0


class Wrapper(torch.optim.Optimizer):
    """An optimizer around another, as Accelerate's: it shares its groups and has no hooks."""

    def __init__(self, inner):
        self.inner = inner
        self.param_groups, self.state, self.defaults = inner.param_groups, inner.state, {}

    def step(self, closure=None):
        return self.inner.step(closure)

    def zero_grad(self, set_to_none=True):
        self.inner.zero_grad(set_to_none)


def test_a_wrapped_optimizer_can_be_searched():
    model, inner = training()
    wrapped = Wrapper(inner)
    finding = find(lambda: update(model, wrapped), wrapped, restore=[model, inner])
    assert finding.source == "measured"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_rate_of_low_precision_can_be_searched(dtype):
    model, _ = training()
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(1e-3, dtype=dtype))
    finding = find(lambda: update(model, optimizer), optimizer, restore=[model])
    assert finding.lr > 0


def test_a_loop_whose_batches_run_out_is_told_so():
    model, optimizer = training()
    batches = iter([(INPUT, TARGET)] * 4)

    def step():
        next(batches)
        return update(model, optimizer)

    with pytest.raises(InputError, match="ran out of batches after 4 updates"):
        find(step, optimizer, restore=[model])


def test_a_model_in_the_place_of_the_step_is_refused():
    model, optimizer = training()
    with pytest.raises(InputError, match="function that does one whole update"):
        find(model, optimizer, restore=[model])


def test_a_schedule_of_nothing_is_refused():
    model, optimizer = training()
    for schedule in ("constant(0)", "constant(0, 199) >> linear()"):
        with pytest.raises(InputError, match="0 throughout"):
            find(lambda: update(model, optimizer), optimizer, restore=[model], schedule=schedule)


def test_a_loop_at_the_start_of_a_warm_up_can_be_searched():
    model, optimizer = training()
    base = groups.read(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, t / 100))
    assert groups.read(optimizer)[0] == 0.0

    def step():
        loss = update(model, optimizer)
        scheduler.step()
        return loss

    finding = find(step, optimizer, restore=[model, scheduler])
    assert finding.source == "measured"
    assert set(groups.read(optimizer)) == {0.0}
    assert groups.ratios(optimizer) == pytest.approx([lr / base[0] for lr in base])


def test_trials_that_all_end_alike_recommend_nothing():
    model, optimizer = training()
    calls = iter(range(10_000))

    def step():
        optimizer.step()
        number = next(calls)
        return 2.0 - 0.01 * number if number < 24 else 1.0

    finding = find(step, optimizer, restore=[model])
    assert finding.source == "default"
    assert "the rate changes nothing" in finding.reason


def trial(**changes):
    options = {
        "model": lambda: nn.Linear(1, 1),
        "optimizer": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        "train": [(torch.ones(4, 1), torch.ones(4, 1))],
        "loss": nn.functional.mse_loss,
        "steps": 20,
    }
    return sf.Trial(**{**options, **changes})


def fixed(model, lr):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def half_fixed(model, lr):
    return torch.optim.SGD(
        [{"params": [model.weight], "lr": lr}, {"params": [model.bias], "lr": 0.1}], lr=lr
    )


def of_another_shape(model, lr):
    groups = [model.weight, model.bias] if lr > 5e-3 else [model.weight]
    return torch.optim.SGD([{"params": [each]} for each in groups], lr=lr)


def without_a_rate(model, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.param_groups[0]["lr"] = None
    return optimizer


@pytest.mark.parametrize("optimizer", [fixed, half_fixed, of_another_shape])
@pytest.mark.parametrize("verb", [sf.find, lambda t: sf.sweep(t, [0.1], seeds=1)])
def test_an_optimizer_that_ignores_its_rate_is_refused(verb, optimizer):
    with pytest.raises(InputError, match="optimizer must use the lr that it is given"):
        verb(trial(optimizer=optimizer))


def test_an_optimizer_without_a_rate_is_refused():
    with pytest.raises(InputError, match="must have a learning rate in each parameter group"):
        sf.sweep(trial(optimizer=without_a_rate), [0.1], seeds=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"autocast": "bfloat16"}, "autocast must be torch.bfloat16"),
        ({"autocast": torch.float16}, "needs a GradScaler"),
        ({"device": "gpu"}, "device must be a torch device"),
        ({"device": 3.5}, "device must be a torch device"),
    ],
)
def test_a_trial_checks_where_and_how_it_trains(change, words):
    with pytest.raises(InputError, match=words):
        trial(**change)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_at_once():
    with pytest.raises(InputError, match="torch sees no CUDA"):
        trial(device="cuda")


@pytest.mark.parametrize("where", ["loader", "sampler", "both"])
def test_a_loader_with_generators_of_its_own_depends_on_the_seed_alone(where):
    data = TensorDataset(torch.arange(32.0))
    mine, theirs = (torch.Generator().manual_seed(seed) for seed in (7, 8))
    sampler = RandomSampler(data, generator=theirs) if where != "loader" else None
    loader = DataLoader(
        data,
        batch_size=4,
        sampler=sampler,
        shuffle=sampler is None,
        generator=None if where == "sampler" else mine,
    )
    torch.rand(3, generator=mine)
    before = mine.get_state(), theirs.get_state()

    def drawn(seed):
        batches = Batches(loader, seed)
        return torch.cat([batches[number][0] for number in range(16)]).tolist()

    first = drawn(0)
    assert torch.equal(mine.get_state(), before[0])
    torch.rand(3, generator=mine)
    torch.rand(3, generator=theirs)
    before = mine.get_state(), theirs.get_state()
    assert drawn(0) == first
    assert drawn(1) != first
    assert first[:32] != first[32:]
    assert torch.equal(mine.get_state(), before[0])
    assert torch.equal(theirs.get_state(), before[1])


def test_batches_of_transformers_are_copied_too():
    class BatchEncoding(UserDict):
        pass

    batch = BatchEncoding({"x": torch.ones(2)})
    copied = map_leaves(lambda leaf: leaf.clone(), batch)
    copied["x"] += 1
    assert isinstance(copied, BatchEncoding)
    assert batch["x"].tolist() == [1.0, 1.0]


def test_what_was_learned_is_held_against_the_noise_of_the_training_that_learned_it():
    """A training of six updates that failed says nothing of the noise of one of hundreds."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 4)
    targets = inputs.sum(dim=1, keepdim=True)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        chosen = torch.randint(0, 256, (16,))
        loss = (model(inputs[chosen]) - targets[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    finding = sf.find(
        step, optimizer, restore=[model], steps=400, effort="thorough", progress=False
    )
    assert any(not torch.tensor(each.loss).isfinite() for each in finding.attempts)
    assert finding.source == "measured"
