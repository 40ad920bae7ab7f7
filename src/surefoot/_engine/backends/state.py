"""A training between two rungs, written down in one process and taken up in another."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefoot._engine.backends.parcel import unfit
from surefoot._engine.batches import Batches
from surefoot._engine.said import brief, one_line
from surefoot._engine.training import Training
from surefoot._engine.trial import Trial

__all__ = ["check_state", "load_state", "save_state"]

_PARTS = ("lr", "seed", "losses", "model", "_random", "_base")
"""What of a training is its own, beside the optimizer."""


def save_state(training: Training, path: Path) -> None:
    """Write a training into a file, whole or not at all.

    Raises:
        UnfitError: it cannot be written, or would lose something.
    """
    import cloudpickle

    _refuse_hooks(training.model)
    optimizer = training.optimizer  # whose own way to be pickled leaves out attributes
    parts = {name: getattr(training, name) for name in _PARTS}
    parts |= {"kind": type(optimizer), "optimizer": vars(optimizer)}
    unfinished = path.with_suffix(".part")
    try:
        torch.save(parts, unfinished, pickle_module=cloudpickle)
    except Exception as error:
        raise unfit(f"what it is between two rungs cannot be pickled ({brief(error)})") from error
    unfinished.replace(path)


def load_state(path: Path, trial: Trial, batches: Batches) -> Training:
    """Return the training that was written there.

    Raises:
        UnfitError: it cannot be read in this process.
    """
    try:
        parts = torch.load(path, weights_only=False)  # written by save_state
    except Exception as error:
        raise unfit(f"what it was at a rung cannot be read again ({brief(error)})") from error
    optimizer = object.__new__(parts.pop("kind"))
    vars(optimizer).update(parts.pop("optimizer"))
    training = object.__new__(Training)
    vars(training).update(parts, trial=trial, optimizer=optimizer, _batches=batches)
    return training


def check_state(training: Training, path: Path, batches: Batches) -> None:
    """Compare the next update of a training with that of the one that was written.

    Both go on by it, so ``training`` is of no more use.

    Raises:
        UnfitError: they differ.
    """
    read = load_state(path, training.trial, batches)
    same = _go_on(training) == _go_on(read)
    pairs = zip(_tensors(training.model), _tensors(read.model), strict=True)
    if not same or not all(one.equal(other) for one, other in pairs):
        raise unfit(
            "written down at a rung and read again, its next update comes out different, as where "
            "the model or the optimizer is also held from outside"
        )


def _go_on(training: Training) -> str:
    """Make an update; return the losses, or what it raised."""
    try:
        training.advance(1, training.trial.factors(training.optimizer))
    except Exception as error:
        return one_line(error)
    return repr(training.losses)


def _refuse_hooks(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise unfit(f"its parameter {name!r} has a gradient hook, which cannot be written down")


def _tensors(model: nn.Module) -> Iterable[Tensor]:
    found: list[Any] = [*model.parameters(), *model.buffers()]
    return [tensor.detach().nan_to_num() for tensor in found]
