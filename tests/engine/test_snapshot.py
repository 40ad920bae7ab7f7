# ruff: noqa: NPY002  users draw from the global generator
import copy
from collections import OrderedDict, deque

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import surefoot as sf
from surefoot import InputError, Snapshot
from surefoot.schedules import cosine, warmup
from tests.exact import INPUT, Net, assert_same, groups_of, rng_state, state, training, update


def plain(kind, **options):
    return lambda model: kind(groups_of(model), **options)


def matrices(model):
    return torch.optim.Muon([model.first.weight, model.last.weight], lr=0.01)


OPTIMIZERS = {
    "SGD": plain(torch.optim.SGD, lr=0.1),
    "SGD momentum": plain(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    "SGD nesterov foreach": plain(torch.optim.SGD, momentum=0.9, nesterov=True, foreach=True),
    "SGD fused": plain(torch.optim.SGD, momentum=0.9, fused=True),
    "SGD tensor lr": lambda model: torch.optim.SGD(
        model.parameters(), lr=torch.tensor(0.01), momentum=0.9
    ),
    "Adam": plain(torch.optim.Adam),
    "Adam amsgrad": plain(torch.optim.Adam, amsgrad=True),
    "Adam foreach": plain(torch.optim.Adam, foreach=True),
    "Adam fused": plain(torch.optim.Adam, fused=True),
    "Adam tensor lr": lambda model: torch.optim.Adam(
        model.parameters(), lr=torch.tensor(0.01), foreach=False
    ),
    "AdamW": plain(torch.optim.AdamW, weight_decay=0.1),
    "Adamax": plain(torch.optim.Adamax),
    "NAdam": plain(torch.optim.NAdam),
    "RAdam": plain(torch.optim.RAdam),
    "Adadelta": plain(torch.optim.Adadelta),
    "Adafactor": plain(torch.optim.Adafactor),
    "Adagrad": plain(torch.optim.Adagrad),
    "ASGD": plain(torch.optim.ASGD),
    "RMSprop": plain(torch.optim.RMSprop, momentum=0.9, centered=True),
    "Rprop": plain(torch.optim.Rprop),
    "Muon": matrices,
    "LBFGS": lambda model: torch.optim.LBFGS(
        [p for p in model.parameters() if p.requires_grad], lr=0.1, max_iter=3, history_size=2
    ),
}


@pytest.fixture
def trained():
    model, optimizer = training()
    for _ in range(2):
        update(model, optimizer)
    return model, optimizer


def test_every_stock_optimizer_is_in_the_table():
    stock = {name for name in dir(torch.optim) if isinstance(getattr(torch.optim, name), type)}
    covered = {type(make(Net())).__name__ for make in OPTIMIZERS.values()}
    assert stock - {"Optimizer", "SparseAdam"} <= covered


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restores_everything_with_any_stock_optimizer(name, before):
    model, optimizer = training(optimizer=OPTIMIZERS[name])
    for _ in range(before):
        update(model, optimizer)
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]):
        for _ in range(3):
            update(model, optimizer)
        changed = state(model, optimizer)
    assert_same(state(model, optimizer), expected)
    assert not torch.equal(changed["values"]["first.weight"], expected["values"]["first.weight"])
    assert len(optimizer.state) == len(expected["optimizer"]["state"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_as_if_the_block_had_never_been(name):
    def run(interrupted):
        model, optimizer = training(optimizer=OPTIMIZERS[name])
        update(model, optimizer)
        if interrupted:
            with Snapshot([model, optimizer]):
                update(model, optimizer)
                update(model, optimizer)
        losses = [update(model, optimizer).item() for _ in range(4)]
        return losses, state(model, optimizer)

    (losses, ended), (expected, twin) = run(interrupted=True), run(interrupted=False)
    assert losses == expected
    for key in ("values", "gradients", "optimizer", "rng"):
        assert_same(ended[key], twin[key])


def test_sparse_gradients_come_back():
    model = nn.Sequential(nn.Embedding(10, 3, sparse=True))
    optimizer = torch.optim.SparseAdam(model.parameters())

    def step(rows):
        optimizer.zero_grad()
        model(torch.tensor(rows)).square().sum().backward()
        optimizer.step()

    step([1, 2])
    snapshot = Snapshot([model, optimizer])
    weight, gradient = model[0].weight.clone(), model[0].weight.grad
    dense = gradient.to_dense()
    moments = copy.deepcopy(optimizer.state_dict())
    step([3, 4, 5])
    gradient.mul_(7.0)
    snapshot.restore()
    assert torch.equal(model[0].weight, weight)
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient.to_dense(), dense)
    assert_same(optimizer.state_dict(), moments)


class Poisoned(Exception):
    pass


@pytest.mark.parametrize("error", [Poisoned, KeyboardInterrupt, SystemExit])
def test_restores_after_an_exception_in_the_middle_of_a_step(trained, error):
    model, optimizer = trained
    expected = state(model, optimizer)

    def half_a_step(_optimizer, _args, _kwargs):
        with torch.no_grad():
            model.first.weight.add_(1.0)
        optimizer.state[model.first.weight]["momentum_buffer"].zero_()
        model.eval()
        raise error

    handle = optimizer.register_step_pre_hook(half_a_step)
    with pytest.raises(error), Snapshot([model, optimizer]):
        update(model, optimizer)
    handle.remove()
    assert_same(state(model, optimizer), expected)


def test_restores_after_nan_everywhere(trained):
    model, optimizer = trained
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]):
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.data.copy_(torch.full_like(tensor, float("nan"), dtype=torch.float32))
        for entries in optimizer.state.values():
            entries["momentum_buffer"].fill_(float("nan"))
        update(model, optimizer)
    assert_same(state(model, optimizer), expected)


def test_a_second_interrupt_during_the_restore_leaves_nothing_half_done(trained, monkeypatch):
    model, optimizer = trained
    expected = state(model, optimizer)
    snapshot = Snapshot([model, optimizer])
    whole, calls = snapshot.restore, []

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        whole()

    monkeypatch.setattr(snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt), snapshot:
        update(model, optimizer)
    assert_same(state(model, optimizer), expected)


def test_snapshots_nest(trained):
    model, optimizer = trained
    outer_state = state(model, optimizer)
    with Snapshot([model, optimizer]):
        update(model, optimizer)
        inner_state = state(model, optimizer)
        with Snapshot([model, optimizer]):
            update(model, optimizer)
        assert_same(state(model, optimizer), inner_state)
    assert_same(state(model, optimizer), outer_state)


def test_restore_can_be_repeated(trained):
    model, optimizer = trained
    expected = state(model, optimizer)
    snapshot = Snapshot([model, optimizer])
    for _ in range(3):
        update(model, optimizer)
        snapshot.restore()
        assert_same(state(model, optimizer), expected)


def test_absent_gradients_become_absent_again():
    model, optimizer = training()
    with Snapshot([model, optimizer]):
        update(model, optimizer)
        assert model.last.weight.grad is not None
    assert all(p.grad is None for p in model.parameters())
    assert len(optimizer.state) == 0


def test_groups_added_in_the_block_are_removed_and_changed_options_put_back(trained):
    model, optimizer = trained
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 1.0})
        optimizer.param_groups[0].update(lr=5.0, momentum=0.1, initial_lr=3.0)
        optimizer.param_groups[1]["params"].pop()
        update(model, optimizer)
    assert_same(state(model, optimizer), expected)
    assert "initial_lr" not in optimizer.param_groups[0]


def test_a_tensor_lr_stays_the_same_object():
    _, optimizer = training(optimizer=OPTIMIZERS["Adam tensor lr"])
    lr = optimizer.param_groups[0]["lr"]
    with Snapshot([optimizer]):
        lr.fill_(7.0)
        optimizer.param_groups[0]["lr"] = 0.5
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr == torch.tensor(0.01)


def test_an_optimizer_alone_keeps_the_parameters_that_it_moves(trained):
    model, optimizer = trained
    weight = model.first.weight.clone()
    with Snapshot([optimizer]):
        update(model, optimizer)
    assert torch.equal(model.first.weight, weight)


def test_optimizer_state_loaded_in_the_block_is_undone(trained):
    model, optimizer = trained
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]):
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.param_groups[0]["lr"] = 9.0
        update(model, optimizer)
    assert_same(state(model, optimizer), expected)


@pytest.mark.parametrize("warm", [False, True])
def test_a_grad_scaler_comes_back_also_before_its_first_use(warm):
    model, optimizer = training()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)

    def step():
        optimizer.zero_grad()
        scaler.scale(model(INPUT).square().mean()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()

    if warm:
        step()
    held, expected = scaler._scale, copy.deepcopy(scaler.state_dict())
    lazy = (scaler._growth_tracker, dict(scaler._per_optimizer_states))
    with Snapshot([model, optimizer, scaler]):
        for _ in range(5):
            step()
        assert scaler.get_scale() != 8.0
        scaler.scale(torch.ones(1))
    assert scaler._scale is held
    assert scaler.state_dict() == expected
    assert (scaler._growth_tracker, dict(scaler._per_optimizer_states)) == lazy
    step()  # "unscale_() has already been called" if the stage of the optimizer were left behind


def test_a_generator_of_the_users_own_comes_back():
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    expected = generator.get_state()
    with Snapshot([generator]):
        torch.rand(99, generator=generator)
    assert torch.equal(generator.get_state(), expected)


def schedulers():
    lr = torch.optim.lr_scheduler
    return {
        "lambda": lambda o: lr.LambdaLR(o, lambda epoch: 0.9**epoch),
        "step": lambda o: lr.StepLR(o, 2),
        "cosine": lambda o: lr.CosineAnnealingLR(o, 20),
        "one cycle": lambda o: lr.OneCycleLR(o, 0.1, total_steps=50),
        "cyclic": lambda o: lr.CyclicLR(o, 0.01, 0.1, step_size_up=3),
        "sequential": lambda o: lr.SequentialLR(
            o, [lr.LinearLR(o, total_iters=3), lr.ExponentialLR(o, 0.9)], [3]
        ),
        "chained": lambda o: lr.ChainedScheduler([lr.LinearLR(o), lr.ExponentialLR(o, 0.9)]),
        "surefoot": lambda o: sf.Scheduler(o, warmup(3) >> cosine(), total=20),
    }


@pytest.mark.parametrize("name", schedulers())
def test_an_attached_scheduler_comes_back(name):
    def run(interrupted):
        model, optimizer = training()
        scheduler = schedulers()[name](optimizer)

        def step():
            update(model, optimizer)
            scheduler.step()
            return [group["lr"] for group in optimizer.param_groups]

        step()
        before = copy.deepcopy(scheduler.state_dict()), scheduler.get_last_lr()
        if interrupted:
            with Snapshot([model, scheduler, optimizer]):
                optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
                optimizer.param_groups.pop()
                for _ in range(4):
                    step()
            assert (scheduler.state_dict(), scheduler.get_last_lr()) == before
        return [step() for _ in range(6)]

    assert run(interrupted=True) == run(interrupted=False)


def test_a_plateau_scheduler_comes_back():
    _, optimizer = training()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(1.0)
    expected = copy.deepcopy(scheduler.state_dict())
    with Snapshot([scheduler, optimizer]):
        scheduler.step(2.0)
        scheduler.step(3.0)
        assert optimizer.param_groups[0]["lr"] < 0.01
    assert scheduler.state_dict() == expected
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_surefoot_scheduler_comes_back_although_the_groups_changed():
    _, optimizer = training()
    scheduler = sf.Scheduler(optimizer, cosine(10))
    with Snapshot([scheduler, optimizer]):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 2.0})
        scheduler.step()
    assert (scheduler.updates, scheduler.base_lrs) == (0, [0.01, 0.03])


class Stateful:
    """Something that has the two methods and ``__slots__`` instead of a dict."""

    __slots__ = ("seen",)

    def __init__(self):
        self.seen = [1]

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, saved):
        self.seen = saved["seen"]


def test_anything_with_state_dict_and_load_state_dict_comes_back_more_than_once():
    thing = Stateful()
    snapshot = Snapshot([thing])
    for _ in range(2):
        thing.seen.append(2)
        snapshot.restore()
        assert thing.seen == [1]


def test_tied_parameters_are_copied_once_and_stay_tied():
    model = nn.Sequential(nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False))
    single = Snapshot([model[0]]).size
    model[1].weight = model[0].weight
    expected = model[0].weight.clone()
    with Snapshot([model, model]) as snapshot:
        assert snapshot.size == single
        with torch.no_grad():
            model[1].weight.add_(1.0)
        model[1].weight = nn.Parameter(torch.zeros(100, 100))
    assert model[1].weight is model[0].weight
    assert torch.equal(model[0].weight, expected)


def test_size_is_the_bytes_of_weights_gradients_buffers_and_optimizer_state():
    model, optimizer = training()
    weights = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())
    moving = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert Snapshot([model, optimizer]).size == weights
    update(model, optimizer)
    assert Snapshot([model, optimizer]).size == weights + 2 * moving  # gradients and momentum


def grow(model):
    model.history.append("more")
    model.history[0] = "other"


def rebind_data(model):
    model.first.weight.data = torch.zeros(3, 3)


def replace_layer(model):
    model.last = nn.Linear(8, 2)


def reorder(model):
    model.first, model.norm = model.norm, model.first


MUTATIONS = {
    "buffer assigned": lambda m: setattr(m.norm, "running_mean", torch.ones(8)),
    "buffer removed": lambda m: delattr(m.norm, "running_var"),
    "buffer added": lambda m: m.register_buffer("more", torch.ones(2)),
    "parameter assigned": lambda m: setattr(m.first, "weight", nn.Parameter(torch.ones(8, 4))),
    "parameter set to None": lambda m: setattr(m.first, "bias", None),
    "data given another shape": rebind_data,
    "double precision": lambda m: m.double(),
    "layer replaced": replace_layer,
    "layers swapped": reorder,
    "layer added": lambda m: m.add_module("more", nn.Linear(2, 2)),
    "frozen": lambda m: m.requires_grad_(False),
    "thawed": lambda m: m.scale.requires_grad_(True),
    "eval": lambda m: m.eval(),
    "one layer in eval": lambda m: m.drop.eval(),
    "counter": lambda m: setattr(m, "calls", 77),
    "plain attribute added": lambda m: setattr(m, "cache", object()),
    "plain attribute removed": lambda m: delattr(m, "calls"),
    "attribute of another type": lambda m: setattr(m, "calls", torch.ones(3)),
    "tensor attribute in place": lambda m: m.running.add_(1),
    "list in place": grow,
    "dict in place": lambda m: m.table.update(loss=9.0, more=1),
    "nested list": lambda m: m.table["rows"].append(4),
    "set in place": lambda m: m.names.add("b"),
    "deque in place": lambda m: m.window.append(5),
    "list in a tuple": lambda m: m.pair[0].append(1),
    "array in place": lambda m: m.array.fill(9),
    "gradient in place": lambda m: m.first.weight.grad.fill_(3),
    "gradient dropped": lambda m: m.zero_grad(set_to_none=True),
    "hook": lambda m: m.register_forward_hook(lambda *_: None),
    "expanded buffer": lambda m: setattr(m, "mask", torch.zeros(5, 3)),
    "generator of torch": lambda m: torch.rand(3),
    "generator of numpy": lambda m: np.random.rand(3),
    "pruned dropout": lambda m: setattr(m.drop, "p", 0.9),
}


def furnished():
    """Return a trained model with attributes of every kind."""
    model, optimizer = training()
    model.history, model.names = ["a", 1.0], {"a"}
    model.window, model.pair = deque([1, 2], maxlen=3), ([0], "x")
    model.table = OrderedDict(loss=1.0, rows=[1, 2])
    model.array, model.running = np.arange(4.0), torch.ones(2)
    model.register_buffer("mask", torch.tensor([1.0, 2.0, 3.0]).expand(5, 3))
    update(model, optimizer)
    return model, optimizer


def everything(model, optimizer):
    extra = (model.history, model.names, model.window, model.pair, model.table, model.array)
    objects = [id(value) for value in (*extra, model.running, model.table["rows"])]
    hooks = list(model._forward_hooks)
    return [
        state(model, optimizer),
        copy.deepcopy(extra),
        model.running.clone(),
        objects,
        hooks,
        model.drop.p,
    ]


@pytest.mark.parametrize("name", MUTATIONS)
def test_undoes(name):
    model, optimizer = furnished()
    expected = everything(model, optimizer)
    with Snapshot([model, optimizer]):
        MUTATIONS[name](model)
    assert_same(everything(model, optimizer), expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=2, max_size=8))
def test_undoes_any_sequence_of_mutations(names):
    model, optimizer = furnished()
    expected = everything(model, optimizer)
    with Snapshot([model, optimizer]):
        for name in names:
            try:
                MUTATIONS[name](model)
            except (AttributeError, KeyError, RuntimeError):
                continue  # what it changes was removed by one before
    assert_same(everything(model, optimizer), expected)


def test_a_write_to_an_expanded_buffer_is_undone():
    model = nn.Module()
    model.register_buffer("mask", torch.ones(1).expand(4, 3))
    with Snapshot([model]) as snapshot:
        assert snapshot.size == 4
        model.mask[0, 0].fill_(5.0)
    assert torch.equal(model.mask, torch.ones(4, 3))


def test_a_buffer_that_became_part_of_a_graph_is_a_leaf_again():
    model = nn.Module()
    model.register_buffer("hidden", torch.ones(2))
    with Snapshot([model]):
        model.hidden.mul_(nn.Parameter(torch.full((2,), 3.0)))
        assert not model.hidden.is_leaf
    assert model.hidden.is_leaf
    assert torch.equal(model.hidden, torch.ones(2))


def test_a_tensor_attribute_with_a_graph_is_put_back():
    model = nn.Linear(2, 2)
    model.output = output = model(torch.ones(1, 2))
    expected = output.detach().clone()
    with Snapshot([model]):
        output.data.zero_()
        model.output = None
    assert model.output is output
    assert torch.equal(output, expected)
    output.sum().backward()
    assert model.weight.grad is not None


def test_a_read_only_array_is_let_alone():
    model = nn.Module()
    model.table = np.arange(3)
    model.table.flags.writeable = False
    with Snapshot([model]):
        model.table = None
    assert model.table.tolist() == [0, 1, 2]


def test_a_compiled_model_comes_back():
    model = Net()
    compiled = torch.compile(model, backend="eager")
    expected = state(model)
    with Snapshot([compiled]):
        compiled(INPUT).square().mean().backward()
        with torch.no_grad():
            model.first.weight.zero_()
        torch.manual_seed(99)
    assert_same(state(model), expected)
    assert compiled(INPUT).shape == (16, 1)


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ([object()], "object, which cannot be restored: give modules"),
        ([nn.Linear(1, 1), "model"], "a str"),
        (nn.Linear(1, 1), r"must be a list, such as restore=\[model\]; a Linear"),
        (nn.Sequential(nn.Linear(1, 1)), "a Sequential was given"),
        (None, "a NoneType was given"),
        ([nn.LazyLinear(2)], "give it one batch first"),
    ],
)
def test_says_what_cannot_be_restored(things, said):
    with pytest.raises(InputError, match=said):
        Snapshot(things)


def test_an_empty_snapshot_restores_the_random_generators():
    expected = rng_state()
    with Snapshot([]) as snapshot:
        assert snapshot.size == 0
        torch.rand(1)
        np.random.rand()
    assert_same(rng_state(), expected)
