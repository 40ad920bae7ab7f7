"""What hangs on an optimizer, or moves when it steps, and is not in the list to restore."""

import gc
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._engine.training import first_change, sums
from surefoot.errors import InputError

__all__ = ["Unlisted", "schedulers"]


class Unlisted:
    """Models and optimizers that ``restore`` does not name, looked at before a training begins.

    Args:
        things: what is restored.
        optimizer: what is trained with; its parameters and state are restored, too.

    Raises:
        InputError: the model that it trains is among them.
    """

    def __init__(self, things: Iterable[object], optimizer: Optimizer) -> None:
        listed = list(things)
        modules = {id(each): each for thing in listed for each in _modules(thing)}
        others = [each for each in _alive(nn.Module) if id(each) not in modules]
        missed = {id(each) for group in optimizer.param_groups for each in group["params"]}
        missed -= {id(each) for module in modules.values() for each in _own(module)}
        trained = [each for each in others if any(id(own) in missed for own in _own(each))]
        if trained:
            raise InputError(
                f"restore must name the model whose parameters the optimizer holds; it misses a "
                f"{_outermost(trained, others)}. Give restore=[model, …] with all that train_step "
                "changes."
            )
        known = {id(optimizer), *map(id, listed)}
        optimizers = [each for each in _alive(Optimizer) if id(each) not in known]
        self._looks = [_Look(each, _module_tensors) for each in others]
        self._looks += [_Look(each, _optimizer_tensors) for each in optimizers]

    def check(self) -> None:
        """Refuse a training that changed one of them.

        Raises:
            InputError: it names the first that changed, which cannot be put back.
        """
        for look in self._looks:
            changed = look.change()
            if changed is not None:
                raise InputError(
                    f"restore must name all that train_step changes; it misses a "
                    f"{type(look.thing).__name__}, whose {changed!r} changed and was not put back."
                )


class _Look:
    """What an object's tensors summed up to."""

    def __init__(
        self, thing: object, tensors: Callable[[object], Iterator[tuple[str, Tensor]]]
    ) -> None:
        self.thing = thing
        self._tensors = tensors
        self._before = sums(tensors(thing))

    def change(self) -> str | None:
        return first_change(self._before, sums(self._tensors(self.thing)))


def schedulers(optimizer: Optimizer) -> list[object]:
    """Return torch's learning-rate schedulers that are attached to an optimizer."""
    kinds = torch.optim.lr_scheduler.LRScheduler
    return [each for each in _alive(kinds) if getattr(each, "optimizer", None) is optimizer]


def _alive(kind: type) -> list[object]:
    """Return all objects of a kind, or of one derived from it, that are in use."""
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def _modules(thing: object) -> Iterable[nn.Module]:
    return thing.modules() if isinstance(thing, nn.Module) else ()


def _own(module: object) -> Iterable[object]:
    """Return the parameters of a module that are not those of a part of it."""
    return vars(module).get("_parameters", {}).values()


def _outermost(trained: list[object], others: list[object]) -> str:
    """Return the kind of the largest model that one of these modules is part of."""
    inner = {id(each) for each in trained}
    found = [each for each in others if any(id(part) in inner for part in _modules(each))]
    return type(max(found, key=lambda each: sum(1 for _ in _modules(each)))).__name__


def _module_tensors(module: object) -> Iterator[tuple[str, Tensor]]:
    for table in ("_parameters", "_buffers"):
        for name, tensor in vars(module).get(table, {}).items():
            if tensor is not None and not torch.nn.parameter.is_lazy(tensor):
                yield name, _local(tensor)


def _optimizer_tensors(optimizer: object) -> Iterator[tuple[str, Tensor]]:
    for number, state in enumerate(getattr(optimizer, "state", {}).values()):
        for name, value in state.items():
            if isinstance(value, Tensor):
                yield f"{name} of parameter {number}", _local(value)


def _local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor that is spread over several."""
    local = getattr(tensor, "to_local", None)
    return tensor if local is None else local()
