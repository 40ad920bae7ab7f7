"""Each operator fused and in the loop: the same curves, or a refusal with its reason."""

import itertools

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot import InputError
from tests.engine.operators import FINE, SLOW, UNFIT

LRS = [1e-4, 1e-2, 1.0]
STEPS = 7
REASONS = {
    "nn.RNN": "it has an nn.RNN, which torch cannot stack",
    "nn.GRU": "it has an nn.GRU, which torch cannot stack",
    "nn.LSTM": "it has an nn.LSTM, which torch cannot stack",
    "checkpoint, reentrant": "autograd.Function of the old style",
    "checkpoint": "different metadata than during the forward pass)",
    "autograd.Function with ctx in forward": "autograd.Function of the old style",
    "if on a tensor": "branches on the values of tensors",
    ".item()": "reads the value of a tensor with .item()",
    "boolean mask": "as with a boolean mask",
    "written into torch.zeros": "writes in place into a tensor that all members share",
    "TransformerEncoderLayer with dropout": "gradient of its parameter",  # masks in another order
}


def distance(model, batch):
    """Return the mean square distance of the output from a ramp."""
    out = model(batch)
    return (out - torch.linspace(-1, 1, out.numel()).reshape(out.shape)).square().mean()


def weights(model):
    """Return one number that depends on every tensor of the model, as a validation loss."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return sum(float(each.double().abs().sum()) for each in tensors)


def trial(build, draw):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        batches = [draw() for _ in range(3)]
    return sf.Trial(
        model=build,
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
        train=batches,
        objective=distance,
        validate=weights,
        steps=STEPS,
    )


def sweep(operator, backend):
    return sf.sweep(trial(*operator), LRS, seeds=1, backend=backend)


@pytest.mark.parametrize("name", [*FINE, *SLOW])
def test_fused_members_are_those_of_the_loop(name):
    operator = {**FINE, **SLOW}[name]
    fused, loop = sweep(operator, "fused"), sweep(operator, "loop")
    for one, other in zip(fused.members, loop.members, strict=True):
        curves = np.array(one.curve.values), np.array(other.curve.values)
        np.testing.assert_allclose(curves[0][:4], curves[1][:4], rtol=1e-5)
        np.testing.assert_allclose(*curves, rtol=1e-4)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_fused_is_refused_with_its_reason(name):
    with pytest.raises(InputError, match="This trial cannot be fused: ") as refused:
        sweep(UNFIT[name], "fused")
    said = str(refused.value)
    assert REASONS.get(name, "an operation that torch cannot stack") in said
    assert "\n" not in said
    assert said.endswith("backend='auto' runs it.")


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_fused_falls_back_on_the_loop(name):
    found, loop = sweep(UNFIT[name], "auto"), sweep(UNFIT[name], "loop")
    assert [member.loss for member in found.members] == [member.loss for member in loop.members]
    for one, other in zip(found.members, loop.members, strict=True):
        assert one.curve.values.tolist() == other.curve.values.tolist()
    assert found.engine.backend == "loop"
    assert found.engine.reason.startswith("it cannot be fused: ")
    assert REASONS.get(name, "an operation that torch cannot stack") in found.engine.reason
