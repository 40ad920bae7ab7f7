"""The largest curvature of the loss: what a learning rate must stay below 2 over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot.errors import InputError
from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["Sharpness"]

SETTLED = 1e-4
"""Products end once the eigenvalue changes by less than this share of it."""

Product = Callable[[Tensor], Tensor]


class Sharpness(Quantity):
    r"""The largest eigenvalue of the Hessian, :math:`\lambda_{\max}(H)`, on one batch.

    Lanczos iterations; each product is a difference of two gradients,
    :math:`Hv \approx (g(w + hv) - g(w - hv)) / 2h`, so that a model with any kernels will do. Plain
    gradient descent is stable up to :math:`\lambda_{\max} = 2/\eta`, with momentum β up to
    :math:`(2 + 2\beta)/\eta`. For optimizers that divide by the root of averaged squares (Adam and
    its like) the eigenvalue of :math:`P^{-1}H`, P what they divide by, is measured as well; with
    :math:`\beta_1 = 0.9` it is stable up to :math:`38/\eta`.

    Records ``sharpness``, in the unit of loss per squared weight, and ``sharpness_preconditioned``.
    Costs two gradients for each product, and memory for as many vectors as products. Weights,
    buffers and random generators are put back bit for bit, gradients are not touched.

    Args:
        model: whose buffers are put back. Of a model in DDP give the one inside.
        loss: returns the loss of one batch, always the same, as a scalar; called with gradients
            enabled.
        every: measured at every so many updates, ≥ 1.
        products: at most so many, ≥ 2.

    Raises:
        InputError: an argument is not what is allowed.

    Example:
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> sharpness = Sharpness(model, lambda: model(x).square().sum() / 2)
        >>> found = sharpness.measure(Update(optimizer, sharpness.needs))
        >>> round(found["sharpness"], 3)
        4.0

    Reference:
        Cohen, Kaur, Li, Kolter, Talwalkar, *Gradient Descent on Neural Networks Typically Occurs at
        the Edge of Stability*, 2021; Cohen et al., *Adaptive Gradient Methods at the Edge of
        Stability*, 2022 (preconditioned).
    """

    passes = 0

    def __init__(
        self, model: nn.Module, loss: Callable[[], Tensor], *, every: int = 1000, products: int = 20
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model must be a torch.nn.Module, not a {type(model).__name__}.")
        if not callable(loss):
            raise InputError(f"loss must be a function without arguments, not {loss!r:.60}.")
        self.cadence = checks.count("every", every, least=1)
        self._products = checks.count("products", products, least=2)
        self._model, self._loss = model, loss

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the eigenvalues."""
        groups = update.optimizer.param_groups
        weights = [p for group in groups for p in group["params"] if p.requires_grad]
        with _as_it_was(self._model, weights):
            curvature = _Curvature(weights, self._loss)
            found = {"sharpness": _largest(curvature.times, curvature.origin, self._products)}
            if (scale := _preconditioner(update.optimizer, weights)) is not None:
                found["sharpness_preconditioned"] = _largest(
                    lambda v: scale * curvature.times(scale * v), curvature.origin, self._products
                )
        return found


class _Curvature:
    """Products of the Hessian at the present weights."""

    def __init__(self, weights: Sequence[Tensor], loss: Callable[[], Tensor]) -> None:
        self._weights, self._loss = weights, loss
        self.origin = _flat(weights)
        # A fifth of the classic step: about the length of one update, which rounding still allows.
        root = torch.finfo(self.origin.dtype).eps ** (1 / 3)
        self._step = 0.2 * root * (float(self.origin.norm()) or 1.0)
        self._random = _generators(weights)

    def times(self, vector: Tensor) -> Tensor:
        """Return H · vector."""
        vector = vector.to(self.origin)
        length = float(vector.norm())
        if not length:
            return vector
        move = vector * (self._step / length)
        ahead, behind = self._gradient(self.origin + move), self._gradient(self.origin - move)
        return (ahead - behind) * (length / (2 * self._step))

    def _gradient(self, place: Tensor) -> Tensor:
        _put(place, self._weights)
        _set_generators(self._random)
        with torch.enable_grad():
            loss = self._loss()
            if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
                raise InputError(
                    "loss of Sharpness must return a scalar tensor made of the model's parameters, "
                    f"not {loss!r:.60}."
                )
            found = torch.autograd.grad(loss.reshape(()), self._weights, allow_unused=True)
        zipped = zip(found, self._weights, strict=True)
        return _flat([torch.zeros_like(w) if g is None else g for g, w in zipped])


def _largest(times: Product, origin: Tensor, products: int) -> float:
    """Return the largest eigenvalue by Lanczos iterations with full reorthogonalisation."""
    draw = torch.randn(origin.numel(), generator=torch.Generator().manual_seed(0))
    vectors = [_unit(draw.to(origin))]
    diagonal: list[float] = []
    beside: list[float] = []
    largest = float("nan")
    for _ in range(min(products, origin.numel())):
        product = times(vectors[-1])
        diagonal.append(float(product @ vectors[-1]))
        before, largest = largest, _top(diagonal, beside)
        if not np.isfinite(largest) or abs(largest - before) <= SETTLED * abs(largest):
            break
        for _ in range(2):  # once leaves what rounding lets in
            for vector in vectors:
                product = product - (product @ vector) * vector
        beside.append(float(product.norm()))
        if beside[-1] <= 1e-6 * abs(largest):
            break
        vectors.append(_unit(product))
    return largest


def _top(diagonal: list[float], beside: list[float]) -> float:
    """Return the largest eigenvalue of a symmetric tridiagonal matrix; NaN if it holds one."""
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return float(np.linalg.eigvalsh(matrix)[-1]) if np.isfinite(matrix).all() else float("nan")


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def _preconditioner(optimizer: Optimizer, weights: Sequence[Tensor]) -> Tensor | None:
    """Return P^(−1/2), P what Adam and its like divide by; None for other optimizers."""
    parts: list[Tensor] = []
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for weight in weights:
        state, group = optimizer.state.get(weight, {}), group_of[id(weight)]
        if "exp_avg_sq" not in state or "step" not in state or "betas" not in group:
            return None
        bias = 1 - float(group["betas"][1]) ** float(state["step"])
        parts.append((state["exp_avg_sq"] / bias).sqrt() + float(group["eps"]))
    return _flat(parts).rsqrt()


@contextmanager
def _as_it_was(model: nn.Module, weights: Sequence[Tensor]) -> Iterator[None]:
    """Put weights, buffers and random generators back at the end, also after an exception."""
    held = [*weights, *model.buffers()]
    copies = [each.detach().clone() for each in held]
    random = _generators(weights)
    try:
        yield
    finally:
        _set_generators(random)
        with torch.no_grad():
            for each, copy in zip(held, copies, strict=True):
                each.copy_(copy)


def _generators(tensors: Sequence[Tensor]) -> dict[torch.device, Tensor]:
    """Return the states of the global generators that a loss of these tensors may draw from."""
    devices = {tensor.device for tensor in tensors} | {torch.device("cpu")}
    return {device: _generator_of(device).get_state() for device in devices}


def _set_generators(states: Mapping[torch.device, Tensor]) -> None:
    for device, state in states.items():
        _generator_of(device).set_state(state)


def _generator_of(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    module = torch.get_device_module(device)
    return module.default_generators[device.index or 0]


def _put(place: Tensor, weights: Sequence[Tensor]) -> None:
    sizes = [weight.numel() for weight in weights]
    with torch.no_grad():
        for weight, values in zip(weights, place.split(sizes), strict=True):
            weight.copy_(values.view_as(weight))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return all elements in one vector, in single precision at least."""
    parts = [each.detach().reshape(-1) for each in tensors]
    low = all(part.dtype in (torch.float16, torch.bfloat16) for part in parts)
    return torch.cat([part.float() if low else part for part in parts])
