"""Record a training as it runs, without touching it."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot.errors import InputError, StateError
from surefoot.quantities import GradNorm, LearningRate, Quantity, UpdateRatio
from surefoot.records import RunLog, RunWriter, read

__all__ = ["Watch", "watch"]

IDLE_AFTER = 40
"""So many calls of ``step`` are looked at before one is told that most follow no update."""

BLOCK = 64
"""Values that are still on a device are fetched when so many of them wait: one synchronisation."""


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    to: str | Path,
    *,
    every: int = 10,
    quantities: Sequence[Quantity] = (),
    resume: bool = False,
    first: int | None = None,
    tags: Mapping[str, Any] | None = None,
) -> "Watch":
    """Record loss, learning rate, gradient norm and update/weight ratio of a training.

    Hooks on ``optimizer.step()`` do the measuring, so ``zero_grad`` may stand anywhere; what they
    measured is recorded by the ``step(loss)`` that follows. Nothing is written to the model or the
    optimizer, and no random number is drawn: a watched run ends with the same weights as an
    unwatched one.

    Args:
        model: the model in training.
        optimizer: the optimizer that trains it.
        to: run folder; one that exists gets a numbered sibling (``digits-2``).
        every: measure the norms at every so many updates, ≥ 1; loss and lr at each.
        quantities: further quantities to measure.
        resume: go on in the run folder ``to``, after its last update.
        first: number of the first update, ≥ 0; when resuming, that of the checkpoint: what was
            recorded from there on is forgotten.
        tags: what to remember of the run, such as its hyperparameters; JSON types.

    Returns:
        A :class:`Watch`; call its ``step(loss)`` once per update. As a context manager it closes
        the record at the end, also after an exception.

    Raises:
        InputError: an argument is not what is allowed.

    Example:
        >>> import tempfile, torch, surefoot as sf
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> folder = tempfile.mkdtemp() + "/run"
        >>> with sf.watch(model, optimizer, to=folder) as watch:
        ...     for _ in range(3):
        ...         loss = model(torch.ones(4, 2)).square().mean()
        ...         optimizer.zero_grad(); loss.backward(); optimizer.step()
        ...         watch.step(loss)
        >>> sf.read(folder).names
        ('loss', 'lr', 'grad_norm', 'update_ratio')
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, not a {type(model).__name__}.")
    if not isinstance(optimizer, Optimizer):
        raise InputError(
            f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}."
        )
    checks.count("every", every, least=1)
    if first is not None:
        checks.count("first", first)
    for quantity in quantities:
        if not isinstance(quantity, Quantity):
            raise InputError(
                "quantities must hold objects such as surefoot.quantities.GradNorm(), not "
                f"{quantity!r:.60}."
            )
    described = {
        "optimizer": type(optimizer).__name__,
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    measured = [LearningRate(), GradNorm(), UpdateRatio(), *quantities]
    writer = RunWriter(to, tags={**described, **(tags or {})}, resume=resume)
    if first is None:
        first = _next_update(writer) if resume else 0
    elif resume:
        writer.forget(first)
    return Watch(optimizer, writer, measured, every, first=first)


class Watch:
    """A training under watch; made by :func:`surefoot.watch`."""

    def __init__(
        self,
        optimizer: Optimizer,
        writer: RunWriter,
        quantities: Sequence[Quantity],
        every: int,
        *,
        first: int = 0,
    ) -> None:
        self._writer = writer
        self._quantities = quantities
        self._every = every
        self._update = first
        self._steps = first
        self._calls = self._idle_calls = 0
        self._stepped = False
        self._due: list[Quantity] = []
        self._measured: dict[str, Tensor | float] = {}
        self._waiting: list[tuple[str, int, Tensor]] = []
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        self._open = True

    @property
    def path(self) -> Path:
        """The run folder that is written to."""
        return self._writer.path

    @property
    def updates(self) -> int:
        """Updates recorded so far."""
        return self._update

    def step(self, loss: Tensor | float) -> None:
        """Record the update just made: its loss and what was measured. Call once per update.

        Args:
            loss: a number or a scalar tensor; it is detached and its graph is not kept.

        Raises:
            InputError: it is no scalar.
            StateError: the watch was closed.
        """
        self._check_open()
        self._record("loss", _scalar("loss", loss))
        self._warn_of_idle_calls()
        measured, self._measured = self._measured, {}
        for name, value in measured.items():
            self._record(name, value)
        self._update += 1

    def validation(self, loss: Tensor | float) -> None:
        """Record the validation loss after the updates made so far.

        Args:
            loss: a number or a scalar tensor.
        """
        self._check_open()
        value = _scalar("validation loss", loss)
        self._record("validation_loss", value, max(self._update - 1, 0))

    def log(self, name: str, value: Tensor | float) -> None:
        """Record any other number of the current update under ``name``."""
        self._check_open()
        self._record(name, _scalar(name, value))

    def close(self) -> None:
        """Take the hooks off and write what is left. May be called twice."""
        if not self._open:
            return
        self._open = False
        for hook in self._hooks:
            hook.remove()
        try:
            self._fetch()
        finally:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._open:
            raise StateError("this watch is closed: record inside its with block.")

    def _warn_of_idle_calls(self) -> None:
        """Warn, once, when most calls of ``step`` follow no ``optimizer.step()``."""
        self._calls += 1
        self._idle_calls += not self._stepped
        self._stepped = False
        if self._calls == IDLE_AFTER and IDLE_AFTER // 2 <= self._idle_calls < IDLE_AFTER:
            warnings.warn(
                f"watch.step was called {self._calls} times, but {self._idle_calls} times no "
                "optimizer.step() came before: call it once per update, not per micro-batch.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _before_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self._measured = {}
        self._due = [
            quantity
            for quantity in self._quantities
            if self._steps % (quantity.cadence or self._every) == 0
        ]
        with torch.no_grad():
            for quantity in self._due:
                quantity.begin(optimizer)

    def _after_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self._steps += 1
        self._stepped = True
        with torch.no_grad():
            for quantity in self._due:
                self._measured.update(quantity.end(optimizer))
        self._due = []

    def _record(self, name: str, value: Tensor | float, update: int | None = None) -> None:
        number = self._update if update is None else update
        if isinstance(value, Tensor) and value.device.type != "cpu":
            self._waiting.append((name, number, value.detach()))
            if len(self._waiting) >= BLOCK:
                self._fetch()
        else:
            self._writer.add(name, number, float(value))

    def _fetch(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        device = waiting[0][2].device
        stacked = torch.stack([value.to(device).float().reshape(()) for _, _, value in waiting])
        values = stacked.tolist()
        for (name, number, _), value in zip(waiting, values, strict=True):
            self._writer.add(name, number, value)


def _scalar(name: str, value: Any) -> Tensor | float:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise InputError(
                f"{name} must be a scalar, not a tensor of shape {tuple(value.shape)}."
            )
        return value.detach().reshape(())
    return checks.number(name, value, finite=False)


def _next_update(writer: RunWriter) -> int:
    log: RunLog = read(writer.path)
    return 0 if log.last_step is None else log.last_step + 1
