"""Each quantity against a twin made by autograd, in double precision and without its code."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import InputError
from surefoot.quantities import (
    Alpha,
    GradNorm,
    LearningRate,
    LossZ,
    NoiseScale,
    NonFinite,
    Quantity,
    Sharpness,
    Skipped,
    Update,
    UpdateRatio,
)
from tests.exact import INPUT, TARGET, training


def measure(quantity, optimizer, step, *, following=None):
    """Measure one step as a watch does: around it, by hooks."""
    update = Update(optimizer, quantity.needs)
    hooks = [
        optimizer.register_step_pre_hook(lambda *_: update.begin()),
        optimizer.register_step_post_hook(lambda *_: update.end()),
    ]
    with torch.random.fork_rng():
        step()
    for hook in hooks:
        hook.remove()
    if not update.has(quantity.needs):
        return {}
    numbers = dict(quantity.measure(update))
    if following is not None:
        following()
        numbers.update(quantity.follow(update))
    return dict(quantity.values({name: float(number) for name, number in numbers.items()}))


def doubles(tensors):
    return torch.cat([t.detach().to_dense().double().flatten() for t in tensors])


def norm(tensors):
    return float(doubles(tensors).norm())


def loss_of(model):
    return (model(INPUT) - TARGET).square().mean()


def backward(model, optimizer):
    optimizer.zero_grad()
    loss = loss_of(model)
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
    expected = norm(torch.autograd.grad(loss_of(model), trainable))
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
        moved = doubles(moving) - doubles(before)
        expected = float(moved.norm()) / norm(before)
        assert found == {"update_ratio": pytest.approx(expected, rel=1e-5)}


def wide(dtype):
    """Tensors that are taken alone, some that are joined, one that is not contiguous."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 300), nn.Linear(300, 1)
    )
    return model.to(dtype).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_alpha_is_the_ratio_of_the_slopes_at_both_ends_of_steps(name, dtype):
    model = wide(dtype)
    make = MAKERS[name] or (lambda model: torch.optim.SGD(model.parameters(), lr=0.01))
    optimizer = make(model)
    batches = torch.randn(6, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    alpha, befores, afters = Alpha(), [], []

    def gradients(batch):
        optimizer.zero_grad()
        (model(batch) - batch.sum((1, 2, 3), keepdim=True)[..., 0, 0]).square().mean().backward()
        return doubles([p.grad for p in model.parameters()])

    for one, other in itertools.pairwise(batches):
        start, gradient = doubles(model.parameters()), gradients(one)
        end = {}
        found = measure(
            alpha,
            optimizer,
            optimizer.step,
            following=lambda b=other, e=end: e.update(g=gradients(b)),
        )
        step = doubles(model.parameters()) - start
        befores.append(float(gradient @ step))
        afters.append(float(end["g"] @ step))
        # Products cancel: what rounds is each of them, not their sum.
        size = float((end["g"] * step).abs().sum())
        assert found["slope_before"] == pytest.approx(befores[-1], rel=1e-5)
        assert found["slope_after"] == pytest.approx(afters[-1], rel=1e-5, abs=1e-6 * size)
    weights = 0.9 ** np.arange(len(befores))[::-1]
    assert found["alpha"] == pytest.approx(-(weights @ afters) / (weights @ befores), rel=1e-4)


@pytest.mark.parametrize(("lr", "expected"), [(0.1, -0.9), (1.0, 0.0), (1.5, 0.5), (2.5, 1.5)])
def test_alpha_on_a_parabola_is_where_the_step_ends(lr, expected):
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=lr)

    def gradient():
        optimizer.zero_grad()
        (weight.square().sum() / 2).backward()

    gradient()
    found = measure(Alpha(), optimizer, optimizer.step, following=gradient)
    assert found["alpha"] == pytest.approx(expected)


def test_a_gradient_that_is_not_finite_does_not_spoil_the_alphas_to_come():
    alpha = Alpha()
    assert alpha.values({"before": -1.0, "after": -0.5})["alpha"] == pytest.approx(-0.5)
    assert "alpha" not in alpha.values({"before": -1.0, "after": math.nan})
    assert alpha.values({"before": -1.0, "after": -0.5})["alpha"] == pytest.approx(-0.5)
    assert alpha.values({}) == {}


def test_elements_of_the_gradient_that_are_not_finite_are_counted():
    weights = [nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(2, 70_000))]
    optimizer = torch.optim.SGD(weights, lr=0.0)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    assert measure(NonFinite(), optimizer, optimizer.step) == {"non_finite": 0.0}
    weights[0].grad[1] = math.nan
    weights[1].grad[:, 7] = -math.inf
    assert measure(NonFinite(), optimizer, optimizer.step) == {"non_finite": 3.0}


def test_the_loss_score_is_against_the_window_before():
    random = np.random.default_rng(0)
    losses = 1e3 + 0.1 * random.standard_normal(700)
    losses[[300, 400]] = math.nan, math.inf
    score, kept, told = LossZ(), [], 0
    for loss in losses:
        found = score.values({"loss": loss})
        if not math.isfinite(loss):
            assert found == {}
            continue
        before = np.array(kept[-128:])
        if len(before) >= 16:
            expected = (loss - before.mean()) / before.std(ddof=1)
            assert found["loss_z"] == pytest.approx(expected, rel=1e-5, abs=1e-6)
            told += 1
        else:
            assert found == {}
        kept.append(loss)
    assert told == 682


def test_a_loss_that_never_changes_has_no_score():
    score = LossZ()
    assert all(score.values({"loss": 0.1}) == {} for _ in range(300))
    assert score.values({}) == {}


def test_the_noise_scale_of_known_gradients_is_theirs():
    """Micro-batches whose gradients are drawn around a known mean, with a known covariance."""
    random = torch.Generator().manual_seed(0)
    mean, spread, count = torch.full((400,), 0.5), 1.0, 4
    weight = nn.Parameter(torch.zeros(400))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    quantity, last = NoiseScale(), []
    for _ in range(400):
        draws = mean + spread * torch.randn(count, 400, generator=random)
        update = Update(optimizer, quantity.needs)
        update.micro_batches = (count, draws[0].square().sum(), draws.sum(0).square().sum() / 16)
        numbers = quantity.measure(update)
        found = quantity.values({name: float(each) for name, each in numbers.items()})
        last.append(found["noise_scale"])
    expected = 400 * spread**2 / (400 * 0.5**2)
    assert np.median(last[50:]) == pytest.approx(expected, rel=0.05)
    assert quantity.measure(Update(optimizer)) == {}
    assert quantity.values({}) == {}


def small(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1)).to(dtype)


def hessian(model, loss):
    """Return the Hessian by automatic differentiation, under one state of the generator."""
    weights = list(model.parameters())
    state = torch.get_rng_state()
    first = torch.autograd.grad(loss(), weights, create_graph=True)
    flat = torch.cat([g.flatten() for g in first])
    rows = [torch.autograd.grad(g, weights, retain_graph=True) for g in flat]
    torch.set_rng_state(state)
    return torch.stack([torch.cat([r.flatten() for r in row]) for row in rows]).detach()


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    model = small()
    x, y = INPUT.double(), TARGET.double()

    def loss():
        return (model(x) - y).square().mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    matrix = hessian(model, loss)
    sharpness = Sharpness(model, loss, products=40)
    found = sharpness.measure(Update(optimizer, sharpness.needs))
    expected = float(torch.linalg.eigvalsh(matrix)[-1])
    assert found["sharpness"] == pytest.approx(expected, rel=1e-5)
    second = torch.cat([optimizer.state[p]["exp_avg_sq"].flatten() for p in model.parameters()])
    root = ((second / (1 - 0.999**30)).sqrt() + 1e-8).rsqrt()
    scaled = root[:, None] * matrix * root
    expected = float(torch.linalg.eigvalsh(scaled)[-1])
    assert found["sharpness_preconditioned"] == pytest.approx(expected, rel=1e-5)


def test_sharpness_leaves_weights_buffers_gradients_and_generators_as_they_were():
    model, optimizer = training()
    backward(model, optimizer)
    held = [*model.parameters(), *model.buffers()]
    before = [each.detach().clone() for each in held]
    gradients = [p.grad for p in model.parameters()]
    copies = [g.clone() for g in gradients if g is not None]
    random = torch.get_rng_state()
    quantity = Sharpness(model, lambda: loss_of(model), every=3)
    assert quantity.cadence == 3
    assert quantity.measure(Update(optimizer))["sharpness"] > 0
    assert all(map(torch.equal, held, before))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(map(torch.equal, [g for g in gradients if g is not None], copies))
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3, loss_of), "model must be a torch.nn.Module"),
        ((nn.Linear(1, 1), 3), "loss must be a function without arguments"),
    ],
)
def test_sharpness_says_what_is_not_allowed(arguments, said):
    with pytest.raises(InputError, match=said):
        Sharpness(*arguments)


def test_a_loss_without_gradient_is_refused_and_the_weights_are_put_back():
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(InputError, match="loss of Sharpness must return a scalar tensor"):
        Sharpness(model, lambda: torch.ones(3)).measure(Update(optimizer))
    assert torch.equal(before, model.weight)


def test_parameters_without_gradient_do_not_count():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((2,), 100.0))
    optimizer = torch.optim.SGD([used, unused], lr=0.5)
    used.sum().backward()
    assert measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"] == pytest.approx(0.5)
    assert measure(GradNorm(), optimizer, optimizer.step)["grad_norm"] == pytest.approx(2**0.5)


def test_weights_of_zero_have_an_infinite_ratio_and_no_gradients_no_norm():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    assert measure(GradNorm(), optimizer, optimizer.step) == {}
    assert math.isnan(measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"])
    weight.sum().backward()
    assert measure(UpdateRatio(), optimizer, optimizer.step) == {"update_ratio": math.inf}


def test_sparse_gradients_are_measured_as_their_dense_form():
    model = nn.Embedding(10, 3, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def gradient():
        optimizer.zero_grad()
        model(torch.tensor([1, 1, 4])).square().sum().backward()

    gradient()
    before = [model.weight.grad.to_dense()]
    start = doubles([model.weight])
    assert measure(GradNorm(), optimizer, lambda: None) == {}
    quantity = GradNorm()
    assert measure(quantity, optimizer, optimizer.step)["grad_norm"] == pytest.approx(norm(before))
    gradient()
    before, start = doubles([model.weight.grad]), doubles([model.weight])
    found = measure(Alpha(), optimizer, optimizer.step, following=gradient)
    step = doubles([model.weight]) - start
    assert found["slope_before"] == pytest.approx(float(before @ step), rel=1e-5)
    after = float(doubles([model.weight.grad]) @ step)
    assert found["slope_after"] == pytest.approx(after, rel=1e-5)


def test_complex_weights_count_both_parts():
    weight = nn.Parameter(torch.tensor([3 + 4j, 1 - 2j]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.abs().square().sum().backward()
    expected = float(weight.grad.abs().square().sum().sqrt())
    assert measure(GradNorm(), optimizer, optimizer.step)["grad_norm"] == pytest.approx(expected)
    ratio = measure(UpdateRatio(), optimizer, optimizer.step)["update_ratio"]
    assert ratio == pytest.approx(0.2 / 0.8)


@pytest.mark.parametrize("kind", [torch.optim.LBFGS, torch.optim.SGD])
def test_a_step_that_computes_its_gradients_in_a_closure_is_measured(kind):
    weight, unused = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.full((2,), 100.0))
    optimizer = kind([weight, unused], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    before = weight.detach().clone()
    found = measure(UpdateRatio(), optimizer, lambda: optimizer.step(closure))
    assert found["update_ratio"] == pytest.approx(
        norm([weight - before]) / norm([before]), rel=1e-5
    )
    weight.grad = None
    found = measure(GradNorm(), optimizer, lambda: optimizer.step(closure))
    assert found["grad_norm"] == pytest.approx(norm([weight.grad]))


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_are_measured_unscaled(fused):
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

    def gradient():
        optimizer.zero_grad()
        scaler.scale(weight.square().sum() / 2).backward()

    for quantity in (GradNorm(), Alpha()):
        start = doubles([weight])
        gradient()

        def following():
            scaler.update()
            gradient()
            # As the hook finds it, before a fused step has divided them.
            optimizer.grad_scale = torch.tensor(scaler.get_scale())

        found = measure(
            quantity, optimizer, lambda: scaler.step(optimizer),
            following=following if isinstance(quantity, Alpha) else None,
        )  # fmt: skip
        if isinstance(quantity, GradNorm):
            assert found["grad_norm"] == pytest.approx(float(start.norm()))
            scaler.update()
            continue
        step = doubles([weight]) - start
        assert found["slope_before"] == pytest.approx(float(start @ step), rel=1e-5)
        assert found["slope_after"] == pytest.approx(float((start + step) @ step), rel=1e-5)


def test_skipped_updates_are_counted():
    skipped = Skipped()
    assert skipped.values({}) == {}
    assert [skipped.values({"skipped": each}) for each in (1.0, 0.0, 1.0)] == [
        {"skipped": 1}, {}, {"skipped": 2},
    ]  # fmt: skip


def test_the_rates_of_all_groups_are_named():
    _, optimizer = training()
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": torch.tensor(0.5)})
    found = measure(LearningRate(), optimizer, optimizer.step)
    assert found == {"lr": 0.01, "lr/group1": 0.03, "lr/group2": 0.5}


@pytest.mark.parametrize("kind", [GradNorm, UpdateRatio, LearningRate, Alpha, NonFinite])
def test_measuring_draws_no_random_number_and_moves_nothing(kind):
    model, optimizer = training()
    backward(model, optimizer)
    quantity, random = kind(), torch.get_rng_state()
    before = [p.detach().clone() for p in model.parameters()]
    gradients = [p.grad for p in model.parameters()]
    update = Update(optimizer, quantity.needs)
    update.begin()
    update.end()
    quantity.measure(update)
    quantity.follow(update)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))


def test_a_quantity_of_ones_own_overrides_measure_alone():
    class Size(Quantity):
        def measure(self, update):
            return {"groups": float(len(update.optimizer.param_groups))}

    _, optimizer = training()
    assert measure(Size(), optimizer, optimizer.step) == {"groups": 2.0}
    with pytest.raises(TypeError, match="abstract"):
        Quantity()
