"""How to build and train one model: what ``find`` and ``sweep`` repeat."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine import groups, plan
from surefoot._engine.batches import map_leaves
from surefoot.errors import InputError
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["Trial"]

_built: WeakValueDictionary[int, nn.Parameter] = WeakValueDictionary()
"""The trainable parameters of every model built so far, by id, while they live."""

_held: dict[int, StorageWeakRef] = {}
"""The memory of these parameters, by address, while it is in use."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How to build and train one model, at any learning rate and seed.

    One update is: for each of ``accumulate`` batches, the loss divided by ``accumulate`` and its
    backward pass; then clipping, if asked; then ``optimizer.step()``. Batches are drawn once per
    seed, under random generators of their own, kept in memory, and shared by all members of that
    seed. Nothing outside the trial is touched: global random generators are put back.

    Args:
        model: function that returns a fresh model; it is called under the member's seed.
        optimizer: function (model, lr) → optimizer; groups, if any, in proportion to lr.
        train: batches; can be iterated again and again (a list, a DataLoader, …).
        steps: the budget in updates, ≥ 1.
        loss: function (output, target) → scalar, for batches that are (input, target) pairs; or
        objective: function (model, batch) → scalar, for batches of any kind.
        validate: batches to average the loss over, weighted by their number of samples; or a
            function (model) → number. Without it the training loss of the last updates judges.
        schedule: a schedule, or its text, that multiplies the lr; None is a constant lr.
        accumulate: batches for one update, ≥ 1.
        clip_norm: largest gradient norm, > 0; None is no clipping.
        autocast: ``torch.bfloat16`` for mixed precision in the forward pass; None is full.
        device: where to train; None leaves the model where the function puts it.
        seed: seed of the first member, ≥ 0.
        name: what to call it in tables and figures.

    Raises:
        InputError: an argument is not what is allowed.

    Example:
        >>> import torch
        >>> data = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]
        >>> trial = Trial(
        ...     model=lambda: torch.nn.Linear(3, 1),
        ...     optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        ...     train=data,
        ...     loss=torch.nn.functional.mse_loss,
        ...     steps=20,
        ... )
        >>> trial.steps
        20
    """

    model: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module, float], Optimizer]
    train: Iterable[Any]
    steps: int
    loss: Callable[[Any, Any], torch.Tensor] | None = None
    objective: Callable[[Any, Any], torch.Tensor] | None = None
    validate: Iterable[Any] | Callable[[nn.Module], float] | None = None
    schedule: Schedule | str | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    autocast: torch.dtype | None = None
    device: torch.device | str | None = None
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        for name, example in (("model", "lambda: Net()"), ("optimizer", "lambda model, lr: …")):
            value = getattr(self, name)
            if isinstance(value, (nn.Module, Optimizer)) or not callable(value):
                raise InputError(
                    f"{name} must be a function that returns a fresh one, such as {example}; a "
                    f"{type(value).__name__} was given."
                )
        if (self.loss is None) == (self.objective is None):
            given = "neither" if self.loss is None else "both"
            raise InputError(f"give either loss or objective; {given} was given.")
        for name in ("loss", "objective"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise InputError(f"{name} must be a function that returns a scalar tensor.")
        _check_batches("train", self.train)
        if self.validate is not None and not callable(self.validate):
            _check_batches("validate", self.validate)
        checks.count("steps", self.steps, least=1)
        checks.count("accumulate", self.accumulate, least=1)
        checks.count("seed", self.seed)
        if self.clip_norm is not None:
            checks.positive("clip_norm", self.clip_norm)
        if self.schedule is not None:
            read_schedule(self.schedule).resolve(self.steps)
        _check_autocast(self.autocast)
        _check_device(self.device)

    @property
    def metric(self) -> str:
        """What a training is judged by: "validation loss", or "training loss" without validate."""
        return "training loss" if self.validate is None else "validation loss"

    def factors(self, optimizer: Optimizer) -> Callable[[int], float]:
        """Return the function update → factor over the whole budget of this optimizer."""
        if self.schedule is None:
            return lambda _: 1.0
        return read_schedule(self.schedule).resolve(self.steps, beta2=plan.beta2(optimizer))

    def build(self, lr: float) -> tuple[nn.Module, Optimizer]:
        """Return a fresh model and its optimizer at ``lr``.

        Raises:
            InputError: the functions return something else, or nothing can be trained.
        """
        model = self.build_model()
        return model, self.build_optimizer(model, lr)

    def build_model(self) -> nn.Module:
        """Return a fresh model, on its device; see :meth:`build`."""
        model = self.model()
        if not isinstance(model, nn.Module):
            raise InputError(f"model must return a torch.nn.Module, not {model!r:.60}.")
        if self.device is not None:
            model = model.to(self.device)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError(
                f"the model {type(model).__name__} has no trainable parameters: nothing can be "
                "learned at any rate. Was everything frozen?"
            )
        _check_fresh(model)
        return model

    def build_optimizer(self, model: nn.Module, lr: float) -> Optimizer:
        """Return the optimizer of a model at ``lr``; see :meth:`build`."""
        optimizer = self.optimizer(model, checks.learning_rate("lr", lr))
        _check_optimizer(optimizer, model)
        return optimizer

    def compute_loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """Return the loss of one batch as a scalar tensor.

        Raises:
            InputError: the batch is no (input, target) pair, or the loss is no scalar.
        """
        device = self.device
        if device is not None:
            batch = _move(batch, device)
        if self.autocast is None:
            return self._forward(model, batch)
        kind = next(model.parameters()).device.type
        with torch.autocast(kind, dtype=self.autocast):
            return self._forward(model, batch)

    def _forward(self, model: nn.Module, batch: Any) -> torch.Tensor:
        if self.loss is None:
            name, value = "objective", self.objective(model, batch)  # type: ignore[misc]
        else:
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise InputError(
                    "loss needs batches that are (input, target) pairs; this one is a "
                    f"{type(batch).__name__}"
                    + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
                    + ". Give objective=lambda model, batch: … instead."
                )
            name, value = "loss", self.loss(model(batch[0]), batch[1])
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(
                f"{name} must return a scalar tensor, not {shape}: take the mean over the batch."
            )
        return value.reshape(()) if value.ndim else value


def _check_autocast(dtype: object) -> None:
    if dtype not in (None, torch.bfloat16):
        raise InputError(
            "autocast must be torch.bfloat16 or None (float16 needs a GradScaler: find its rate "
            f"inside a loop of your own), not {dtype!r}."
        )


def _check_device(device: torch.device | str | None) -> None:
    if device is None:
        return
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        raise InputError(
            f"device must be a torch device such as 'cuda:0', not {device!r}."
        ) from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device is {str(device)!r}, and torch sees no CUDA here: give 'cpu'.")


def _check_fresh(model: nn.Module) -> None:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    storages = {each.data_ptr(): each for each in (p.untyped_storage() for p in trainable)}
    for address in [address for address, held in _held.items() if held.expired()]:
        del _held[address]
    old = any(_built.get(id(parameter)) is parameter for parameter in trainable)
    if old or not _held.keys().isdisjoint(storages):
        raise InputError(
            "model must return a fresh model each time; this one has weights of a model that it "
            "returned before, or is built over the same memory (nn.Parameter(tensor), "
            "from_pretrained(tensor)), so one training would go on where another ended. Build all "
            "of it inside the function, give tensor.clone(), or return copy.deepcopy(model)."
        )
    _built.update((id(parameter), parameter) for parameter in trainable)
    _held.update((address, StorageWeakRef(each)) for address, each in storages.items() if address)


def _check_optimizer(optimizer: object, model: nn.Module) -> None:
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer must return a torch.optim.Optimizer, not {optimizer!r:.60}.")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InputError(
            "optimizer must be one that steps on given gradients; LBFGS asks for the loss again "
            "and again. Its learning rate can be found inside a loop of your own."
        )
    if groups.read(optimizer)[0] == 0:
        raise InputError("optimizer must use the lr that it is given; it set lr to 0.")
    own = {id(parameter) for parameter in model.parameters()}
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not own & held:
        raise InputError(
            "optimizer must hold the parameters of the model that it is given; it holds none of "
            "them."
        )


def _check_batches(name: str, batches: Any) -> None:
    if isinstance(batches, Iterator):
        raise InputError(
            f"{name} must be batches that can be iterated again and again; a one-shot "
            f"{type(batches).__name__} was given. Give list({name}) or a DataLoader."
        )
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise InputError(f"{name} must be an iterable of batches, not {batches!r:.60}.")


def _move(batch: Any, device: torch.device | str) -> Any:
    def moved(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to(device, non_blocking=True)
        return leaf.to(device) if hasattr(leaf, "to") else leaf

    return map_leaves(moved, batch)
