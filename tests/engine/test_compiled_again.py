"""What is compiled for one trial, and the next ones in the same process that look like it."""

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot._engine.backends import compiled
from tests.engine.test_compiled import counted
from tests.engine.test_fused_odd import X, Y, make

LRS = [0.01, 0.1]


def swept(trial, backend, **options):
    return sf.sweep(trial, LRS, seeds=1, backend=backend, **options)


def curves(trial, backend, **options):
    return [each.curve.values for each in swept(trial, backend, **options).members]


class Scaled(nn.Module):
    """Scales by frozen numbers: one for each output, or one for all."""

    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.linspace(0.5, 2, size), requires_grad=False)

    def forward(self, x):
        return self.layer(x).tanh() * self.scale


class Tied(nn.Module):
    """Three layers, the last of which has the weights of another."""

    def __init__(self, to):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.c.weight = getattr(self, to).weight

    def forward(self, x):
        return self.c(self.b(self.a(x).tanh()).tanh())[:, :3]


LIKE = {
    "accumulate": [{"accumulate": count} for count in (1, 2, 3)],
    "frozen": [{"model": lambda size=size: Scaled(size)} for size in (3, 1)],
    "tied": [{"model": lambda to=to: Tied(to)} for to in "ab"],
}


@pytest.mark.parametrize("exact", [None, True])
@pytest.mark.parametrize("name", LIKE)
def test_it_serves_no_trial_that_differs(monkeypatch, name, exact):
    counted(monkeypatch)
    for changes in LIKE[name]:
        trial = make(validate=None, **changes)
        alone = curves(trial, "loop")
        for own, other in zip(alone, curves(trial, "compiled", exact=exact), strict=True):
            assert other == pytest.approx(own, rel=1e-4)


def test_mixed_precision_is_compiled_apart(monkeypatch):
    graphs = counted(monkeypatch)
    for number, dtype in enumerate((None, torch.bfloat16)):
        swept(make(validate=None, autocast=dtype), "compiled")
        assert len(graphs) == number + 1


def test_what_was_found_wrong_for_one_batch_is_not_used_in_the_next_sweep(monkeypatch):
    counted(monkeypatch)
    differs, seen = compiled._difference, []

    def found(*compared):
        seen.append(compared)
        return "wrong" if len(seen) == 2 else differs(*compared)  # at the batch of ten

    monkeypatch.setattr(compiled, "_difference", found)
    batches = [(X[:16], Y[:16]), (X[16:32], Y[16:32]), (X[32:42], Y[32:42])]
    for _ in range(2):
        engine = swept(make(validate=None, train=batches), "compiled").engine
        assert (engine.backend, engine.reason) == ("fused", "not compiled: wrong")


def compared(rate, error):
    """Compare a step, of weights near 1, with one that is wrong by so much."""
    grad = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    losses, before = torch.ones(2, dtype=torch.float64), {"w": 1 + grad.abs()}
    right, other = (before["w"] - rate * each - before["w"] for each in (grad, error(grad)))
    return compiled._difference(losses, losses, {"w": grad}, {"w": other}, {"w": right}, before)


@pytest.mark.parametrize("rate", [1e-7, 1e-5, 0.1])
def test_steps_that_are_rounded_otherwise_do_not_differ(rate):
    assert compared(rate, lambda grad: grad + 1e-7 / rate) == ""


@pytest.mark.parametrize("rate", [1e-5, 0.1])
def test_steps_that_are_wrong_differ(rate):
    assert (
        compared(rate, lambda grad: 1.1 * grad)
        == "its parameter 'w' comes out different when compiled"
    )
