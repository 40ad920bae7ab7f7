import math

import pytest
import torch
from torch import nn

from surefoot.quantities import GradNorm, LearningRate, Quantity, UpdateRatio
from tests.exact import INPUT, TARGET, training


def measure(quantity, optimizer, step):
    """Measure one step as a watch does: around it, by hooks."""
    found = {}
    hooks = [
        optimizer.register_step_pre_hook(lambda *_: quantity.begin(optimizer)),
        optimizer.register_step_post_hook(lambda *_: found.update(quantity.end(optimizer))),
    ]
    with torch.random.fork_rng():
        step()
    for hook in hooks:
        hook.remove()
    return {name: float(value) for name, value in found.items()}


def norm(tensors):
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))


def backward(model, optimizer):
    optimizer.zero_grad()
    loss = (model(INPUT) - TARGET).square().mean()
    loss.backward()
    return loss


MAKERS = {
    "SGD": None,
    "Adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.3),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("clip", [None, 0.1])
def test_the_gradient_norm_is_that_of_autograd_after_clipping(name, clip):
    model, optimizer = training(optimizer=MAKERS[name])
    torch.manual_seed(1)
    trainable = [p for p in model.parameters() if p.requires_grad]
    expected = norm(torch.autograd.grad((model(INPUT) - TARGET).square().mean(), trainable))
    torch.manual_seed(1)
    backward(model, optimizer)
    if clip is not None:
        nn.utils.clip_grad_norm_(trainable, clip)
        expected = min(expected, clip)
    found = measure(GradNorm(), optimizer, optimizer.step)
    assert found == {"grad_norm": pytest.approx(expected, rel=1e-5)}


@pytest.mark.parametrize("name", MAKERS)
def test_the_update_ratio_is_the_distance_moved_over_the_size_before(name):
    model, optimizer = training(optimizer=MAKERS[name])
    for _ in range(3):
        backward(model, optimizer)
        moving = [p for p in model.parameters() if p.grad is not None]
        before = [p.detach().clone() for p in moving]
        found = measure(UpdateRatio(), optimizer, optimizer.step)
        moved = [p.detach() - old for p, old in zip(moving, before, strict=True)]
        assert found == {"update_ratio": pytest.approx(norm(moved) / norm(before), rel=1e-5)}


def test_the_update_ratio_of_plain_gradient_descent_is_lr_times_gradient_over_weight():
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    (weight.square().sum() / 2).backward()
    assert measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"] == pytest.approx(0.1)


def test_parameters_without_gradient_do_not_count():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((2,), 100.0))
    optimizer = torch.optim.SGD([used, unused], lr=0.5)
    used.sum().backward()
    assert measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"] == pytest.approx(0.5)
    assert measure(GradNorm(), optimizer, optimizer.step)["grad_norm"] == pytest.approx(2**0.5)


def test_weights_of_zero_have_an_infinite_ratio_and_no_gradients_the_norm_zero():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    assert measure(GradNorm(), optimizer, optimizer.step) == {"grad_norm": 0.0}
    assert math.isnan(measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"])
    weight.sum().backward()
    assert measure(UpdateRatio(), optimizer, optimizer.step) == {"update_ratio": math.inf}


def test_sparse_gradients_have_the_norm_of_their_dense_form():
    model = nn.Embedding(10, 3, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.tensor([1, 1, 4])).square().sum().backward()
    expected = norm([model.weight.grad.to_dense()])
    assert measure(GradNorm(), optimizer, optimizer.step)["grad_norm"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", [torch.optim.LBFGS, torch.optim.SGD])
def test_a_step_that_computes_its_gradients_in_a_closure_is_measured(kind):
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = kind([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    before = weight.detach().clone()
    ratio, gradient = UpdateRatio(), GradNorm()
    optimizer.register_step_pre_hook(lambda *_: gradient.begin(optimizer))
    found = measure(ratio, optimizer, lambda: optimizer.step(closure))
    moved = norm([weight - before]) / norm([before])
    assert found["update_ratio"] == pytest.approx(moved, rel=1e-5)
    assert float(gradient.end(optimizer)["grad_norm"]) == pytest.approx(norm([weight.grad]))


def test_the_rates_of_all_groups_are_named():
    _, optimizer = training()
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": torch.tensor(0.5)})
    found = measure(LearningRate(), optimizer, optimizer.step)
    assert found == {"lr": 0.01, "lr/group1": 0.03, "lr/group2": 0.5}


@pytest.mark.parametrize("kind", [GradNorm, UpdateRatio, LearningRate])
def test_measuring_draws_no_random_number_and_moves_nothing(kind):
    model, optimizer = training()
    backward(model, optimizer)
    quantity, random = kind(), torch.get_rng_state()
    before = [p.detach().clone() for p in model.parameters()]
    gradients = [p.grad for p in model.parameters()]
    quantity.begin(optimizer)
    quantity.end(optimizer)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))


def test_a_quantity_of_ones_own_overrides_end_alone():
    class Size(Quantity):
        def end(self, optimizer):
            return {"groups": float(len(optimizer.param_groups))}

    _, optimizer = training()
    assert measure(Size(), optimizer, optimizer.step) == {"groups": 2.0}
    with pytest.raises(TypeError, match="abstract"):
        Quantity()
