"""Tensors in groups: torch hands the same one to many, and every group gets its own."""

import copy
import pickle

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot.schedules import hold, linear, warmup
from tests.engine.test_scheduler_compile import Graphs


def parameters(count=1):
    return [nn.Parameter(torch.ones(2)) for _ in range(count)]


def shared(count=2, lr=0.5, **options):
    """An AdamW whose groups all hold the tensor of the defaults, as torch makes it."""
    groups = [{"params": parameters()} for _ in range(count)]
    made = torch.optim.AdamW(groups, lr=torch.tensor(lr), capturable=True, **options)
    assert all(group["lr"] is made.defaults["lr"] for group in made.param_groups)
    return made


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def test_one_tensor_for_all_groups_becomes_one_for_each_and_the_first_keeps_it():
    optimizer = shared(3)
    lr = optimizer.defaults["lr"]
    scheduler = Scheduler(optimizer, linear(4), base=[0.5, 0.25, 1.0])
    tensors = [group["lr"] for group in optimizer.param_groups]
    assert tensors[0] is lr
    assert len({id(tensor) for tensor in tensors}) == 3
    for t in range(4):
        assert rates(optimizer) == [base * (1 - t / 4) for base in (0.5, 0.25, 1.0)]
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == tensors
    assert all(
        group["lr"] is tensor for group, tensor in zip(optimizer.param_groups, tensors, strict=True)
    )


def test_each_group_follows_its_own_schedule():
    optimizer = shared()
    scheduler = Scheduler(optimizer, [linear(4), "warmup(4)"])
    for t in range(4):
        assert rates(optimizer) == [0.5 * (1 - t / 4), 0.5 * (t + 1) / 4]
        scheduler.step()


def test_betas_are_untied_too():
    betas = (torch.tensor(0.5), torch.tensor(0.75))
    optimizer = shared(betas=betas)
    scheduler = Scheduler(optimizer, {"betas.0": [linear(4), hold(4)], "betas.1": linear(4)})
    scheduler.seek(2)
    found = [[float(beta) for beta in group["betas"]] for group in optimizer.param_groups]
    assert found == [[0.25, 0.375], [0.5, 0.375]]
    assert optimizer.param_groups[0]["betas"][0] is betas[0]
    assert [float(beta) for beta in optimizer.defaults["betas"]] == [0.5, 0.75]


@pytest.mark.parametrize("loaded", [False, True], ids=["", "loaded"])
@pytest.mark.parametrize("base", [None, [2.0, 0.25]])
def test_a_late_group_without_an_lr_gets_the_default_as_it_was_given(base, loaded):
    optimizer = shared()
    scheduler = Scheduler(optimizer, linear(50, floor=0.01), base=base)
    for _ in range(40):
        scheduler.step()
    if loaded:
        optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": parameters()})
    optimizer.add_param_group({"params": parameters()})
    scheduler.step()
    bases = [*(base or [0.5, 0.5]), 0.5, 0.5]
    assert scheduler.last_lr == pytest.approx(
        [*(each * linear(50, floor=0.01)(40) for each in bases[:2]), 0.5, 0.5]
    )
    assert scheduler.base_lrs == bases
    for t in (41, 45):
        scheduler.seek(t)
        assert rates(optimizer) == pytest.approx([b * linear(50, floor=0.01)(t) for b in bases])
    assert float(optimizer.defaults["lr"]) == 0.5


def test_a_late_group_with_the_tensor_of_another_has_the_own_value_of_that_one():
    optimizer = shared()
    scheduler = Scheduler(optimizer, linear(10))
    scheduler.seek(8)
    held = optimizer.param_groups[1]["lr"]
    optimizer.add_param_group({"params": parameters(), "lr": held})
    assert scheduler.base_lrs == [0.5, 0.5, 0.5]
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.05] * 3)
    assert optimizer.param_groups[1]["lr"] is held
    assert optimizer.param_groups[2]["lr"] is not held


def test_a_group_that_takes_the_place_of_another_is_adopted_too():
    optimizer = shared()
    scheduler = Scheduler(optimizer, linear(10))
    scheduler.seek(8)
    optimizer.param_groups.pop()
    optimizer.add_param_group({"params": parameters()})
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.05] * 2)
    assert float(optimizer.defaults["lr"]) == 0.5


def test_tensors_that_are_one_in_a_checkpoint_are_untied_when_it_is_loaded():
    saved = copy.deepcopy(shared().state_dict())
    optimizer = shared()
    scheduler = Scheduler(optimizer, [linear(4), hold(4)])
    scheduler.seek(2)
    optimizer.load_state_dict(saved)
    assert rates(optimizer) == [0.25, 0.5]
    scheduler.step()
    assert rates(optimizer) == [0.125, 0.5]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_adopts_late_groups_by_itself(twin):
    optimizer, scheduler = twin((made := shared(), Scheduler(made, linear(10))))
    scheduler.seek(4)
    optimizer.add_param_group({"params": parameters()})
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.25] * 3)
    assert rates(made) == [0.5, 0.5]


# torch's compiler warns of torch's own deprecated parts
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_step_of_groups_with_one_tensor_is_still_one_graph():
    torch._dynamo.reset()
    backend, optimizer = Graphs(), shared(3)
    scheduler = Scheduler(optimizer, [linear(40), hold(40), "warmup(40)"], base=[0.5, 0.1, 0.2])
    step = torch.compile(optimizer.step, backend=backend)
    for _ in range(30):
        for group in optimizer.param_groups:
            group["params"][0].grad = torch.ones(2)
        step()
        scheduler.step()
    assert backend.count == 1
    assert rates(optimizer) == pytest.approx([0.5 * 0.25, 0.1, 0.2 * 31 / 40])


def test_a_tensor_that_requires_a_gradient_is_refused_before_anything_is_written():
    optimizer = torch.optim.Adam(parameters(), lr=torch.tensor(0.5, requires_grad=True))
    with pytest.raises(InputError, match=r"lr of group 0 is a tensor that requires a gradient"):
        Scheduler(optimizer, linear(10))
    assert "initial_lr" not in optimizer.param_groups[0]
    optimizer = shared()
    scheduler = Scheduler(optimizer, linear(10))
    late = torch.tensor(0.5, requires_grad=True)
    optimizer.add_param_group({"params": parameters(), "lr": late})
    with pytest.raises(InputError, match=r"lr of group 2 is a tensor that requires a gradient"):
        scheduler.step()
    assert scheduler.updates == 0
    assert [lr.item() for lr in (optimizer.param_groups[0]["lr"], late)] == [0.5, 0.5]


def test_a_tensor_with_one_element_in_it_may_have_any_shape_and_type():
    lr = torch.full((1, 1), 0.5, dtype=torch.float64)
    optimizer = torch.optim.SGD(parameters(), lr=lr)
    Scheduler(optimizer, warmup(4)).step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.tolist() == [[0.25]]
