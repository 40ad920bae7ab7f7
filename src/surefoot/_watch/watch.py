"""Record a training as it runs, without touching it."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._watch.budget import Budget
from surefoot._watch.live import Live
from surefoot._watch.measuring import Measuring
from surefoot._watch.places import Folder, check_mirrors, mirrors
from surefoot._watch.ranks import Role, role
from surefoot._watch.recorder import Place, Recorder
from surefoot._watch.transit import Transit
from surefoot.errors import InputError, StateError
from surefoot.quantities import (
    Alpha,
    GradNorm,
    LearningRate,
    LossZ,
    NoiseScale,
    NonFinite,
    Quantity,
    Skipped,
    UpdateRatio,
)
from surefoot.records import RunLog, RunWriter, read

__all__ = ["Watch", "watch"]

IDLE_AFTER = 40
"""So many calls of ``step`` are looked at before one is told that most follow no update."""

APART = 10
"""Updates between two measurements where several ranks must agree on them."""


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    to: str | Path,
    *,
    overhead: float = 0.02,
    every: int | None = None,
    quantities: Sequence[Quantity] = (),
    mirror: Sequence[str] = (),
    show: bool = False,
    resume: bool = False,
    first: int | None = None,
    tags: Mapping[str, Any] | None = None,
) -> "Watch":
    """Record loss, lr, gradient norm, update/weight ratio and more of a training.

    At each update: ``loss``, ``lr`` of each group, ``loss_z`` and ``seconds``. At some, as often as
    costs no more than ``overhead``: ``grad_norm``, ``update_ratio``, ``alpha`` with its slopes,
    ``non_finite``. And ``skipped``, ``noise_scale`` where there is something to tell; see
    :mod:`surefoot.quantities` for each. Hooks on ``optimizer.step()`` do the measuring, so
    ``zero_grad`` may stand anywhere. Nothing is written to the model or the optimizer and no random
    number is drawn: a watched run ends with the same weights as an unwatched one. Of several
    processes that train one model, all watch, and rank 0 records.

    Args:
        model: the model in training.
        optimizer: the optimizer that trains it.
        to: run folder; one that exists gets a numbered sibling (``digits-2``).
        overhead: share of the time of training that watching may take, in (0, 1].
        every: measure at every so many updates, ≥ 1, instead.
        quantities: further quantities to measure.
        mirror: where else to write the same values: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``.
        show: a table with the latest values, live on standard error.
        resume: go on in the run folder ``to``, after its last update.
        first: number of the first update, ≥ 0; when resuming, that of the checkpoint: what was
            recorded from there on is forgotten.
        tags: what to remember of the run, such as its hyperparameters; JSON types.

    Returns:
        A :class:`Watch`; call its ``step(loss)`` once per update. As a context manager it closes
        the record at the end, also after an exception.

    Raises:
        InputError: an argument is not what is allowed.
        MissingExtraError: what a mirror writes to is not installed.

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
        >>> log = sf.read(folder)
        >>> log["loss"].steps.tolist(), log["lr"].values.tolist(), len(log["grad_norm"])
        ([0.0, 1.0, 2.0], [0.1, 0.1, 0.1], 1)
    """
    _check(model, optimizer, quantities)
    checks.number("overhead", overhead)
    if not 0 < overhead <= 1:
        raise InputError(f"overhead must lie in (0, 1], not {overhead}.")
    if every is not None:
        checks.count("every", every, least=1)
    if first is not None:
        checks.count("first", first)
    names = check_mirrors(mirror)
    part = role(optimizer)
    described = {
        "optimizer": type(optimizer).__name__,
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **(tags or {}),
    }
    places: list[Place] = []
    path = Path(to)
    if part.writes:
        writer = RunWriter(to, tags=described, resume=resume)
        path = writer.path
        if first is not None and resume:
            writer.forget(first)
        places = [Folder(writer)]
        try:
            places += mirrors(names, path, described)
            if show:
                places.append(Live(path.name))
        except BaseException:
            writer.close()
            raise
    if first is None:
        first = _next_update(path) if resume else 0
    defaults = (
        LearningRate(), LossZ(), Skipped(), GradNorm(), UpdateRatio(), Alpha(), NonFinite(),
        NoiseScale(),
    )  # fmt: skip
    ahead = part.ranks > 1
    budget = Budget(overhead, APART if ahead and every is None else every)
    return Watch(model, optimizer, path, places, [*defaults, *quantities], budget, part, first)


class Watch:
    """A training under watch; made by :func:`surefoot.watch`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        path: Path,
        places: Sequence[Place],
        quantities: Sequence[Quantity],
        budget: Budget,
        part: Role,
        first: int,
    ) -> None:
        self._path = path
        self._part = part
        self._budget = budget
        self._update = first
        self._calls = self._idle_calls = 0
        self._losses: list[Tensor | float] = []  # of the micro-batches of this update
        self._measuring: Measuring | None = None
        if part.measures:
            self._measuring = Measuring(model, optimizer, quantities, budget, first)
            self._recorder = Recorder(places, _transit(optimizer, part), part.ranks)
        self._open = True

    @property
    def path(self) -> Path:
        """The run folder that is written to."""
        return self._path

    @property
    def updates(self) -> int:
        """Updates recorded so far."""
        return self._update

    @property
    def overhead(self) -> float:
        """Seconds that watching has taken over those that training has, on the host.

        NaN before the second update.
        """
        return self._budget.overhead

    def microbatch(self, loss: Tensor | float | None = None) -> None:
        """Tell of one backward pass of several whose gradients make one update.

        Call it after each; the noise scale is then measured. Under DDP call it inside of
        ``no_sync()`` where that is used.

        Args:
            loss: of the micro-batch; ``step()`` then needs none and records their mean.

        Raises:
            InputError: the loss is no scalar.
            StateError: the watch was closed.
        """
        self._check_open()
        if loss is not None:
            self._losses.append(_scalar("loss", loss))
        if self._measuring is not None:
            self._measuring.micro_batch()

    def step(self, loss: Tensor | float | None = None) -> None:
        """Record the update just made: its loss and what was measured. Call once per update.

        Args:
            loss: a number or a scalar tensor; it is detached and its graph is not kept. Without
                one the mean of those that :meth:`microbatch` was told is recorded.

        Raises:
            InputError: it is no scalar.
            StateError: the watch was closed.
        """
        started = perf_counter()
        self._check_open()
        plain: dict[str, Tensor | float] = {}
        if loss is not None:
            plain["loss"] = _scalar("loss", loss)
        elif self._losses:
            plain["loss"] = _mean(self._losses)
        self._losses = []
        if self._measuring is not None:
            self._warn_of_calls(lacks_loss=not plain)
            seconds = self._budget.passed()
            if self._part.ranks > 1:
                plain = {name: _tensor(value) for name, value in plain.items()}
            if seconds is not None:
                plain["seconds"] = seconds
            self._recorder.add(self._update, plain, self._measuring.take())
        self._update += 1
        self._budget.spend(perf_counter() - started)

    def validation(self, loss: Tensor | float) -> None:
        """Record the validation loss after the updates made so far.

        Args:
            loss: a number or a scalar tensor.
        """
        self._add("validation_loss", _scalar("validation loss", loss), max(self._update - 1, 0))

    def log(self, name: str, value: Tensor | float) -> None:
        """Record any other number of the current update under ``name``."""
        self._add(name, _scalar(name, value), self._update)

    def close(self) -> None:
        """Take the hooks off and write what is left. May be called twice."""
        self._close(complete=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *reason: object) -> None:
        self._close(complete=kind is None)

    def _add(self, name: str, value: Tensor | float, update: int) -> None:
        self._check_open()
        if self._part.writes:
            if self._part.ranks > 1:
                value = float(value)
            self._recorder.add(update, {name: value})

    def _close(self, *, complete: bool) -> None:
        if not self._open:
            return
        self._open = False
        if self._measuring is None:
            return
        self._measuring.remove()
        never = self._measuring.steps and not self._calls
        self._recorder.close(complete=complete or self._part.ranks == 1)
        if never:
            warnings.warn(
                f"{self._measuring.steps} updates were made, but watch.step was never called: "
                "nothing was recorded. Call watch.step(loss) after each optimizer.step().",
                RuntimeWarning,
                stacklevel=3,
            )

    def _check_open(self) -> None:
        if not self._open:
            raise StateError("this watch is closed: record inside its with block.")

    def _warn_of_calls(self, *, lacks_loss: bool) -> None:
        """Warn, once, when most calls of ``step`` follow no update, and of one without a loss."""
        self._calls += 1
        self._idle_calls += self._measuring is None or not self._measuring.stepped
        if self._calls == IDLE_AFTER and IDLE_AFTER // 2 <= self._idle_calls < IDLE_AFTER:
            warnings.warn(
                f"watch.step was called {self._calls} times, but {self._idle_calls} times no "
                "optimizer.step() came before: call it once per update, not per micro-batch.",
                RuntimeWarning,
                stacklevel=3,
            )
        if lacks_loss and self._calls == 1:
            warnings.warn(
                "watch.step was called without a loss: without one a run cannot be diagnosed. "
                "Give it as watch.step(loss).",
                RuntimeWarning,
                stacklevel=3,
            )


def _check(model: Any, optimizer: Any, quantities: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, not a {type(model).__name__}.")
    if not isinstance(optimizer, Optimizer):
        raise InputError(
            f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}."
        )
    for quantity in quantities:
        if not isinstance(quantity, Quantity):
            raise InputError(
                "quantities must hold objects such as surefoot.quantities.GradNorm(), not "
                f"{quantity!r:.60}."
            )


def _scalar(name: str, value: Any) -> Tensor | float:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise InputError(
                f"{name} must be a scalar, not a tensor of shape {tuple(value.shape)}."
            )
        return value.detach()
    return checks.number(name, value, finite=False)


def _mean(losses: Sequence[Tensor | float]) -> Tensor | float:
    return sum(losses[1:], losses[0]) / len(losses)


def _tensor(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _transit(optimizer: Optimizer, part: Role) -> Transit | None:
    """Return what carries numbers to the host; None where they are there already."""
    devices = [p.device for group in optimizer.param_groups for p in group["params"]]
    device = next((each for each in devices if each.type != "cpu"), torch.device("cpu"))
    if device.type == "cpu" and part.ranks == 1:
        return None
    return Transit(device, summed=part.ranks > 1)


def _next_update(path: Path) -> int:
    log: RunLog = read(path)
    return 0 if log.last_step is None else log.last_step + 1
