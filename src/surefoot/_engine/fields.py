"""The numbers in parameter groups that a schedule can move: lr, weight decay, betas and others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InputError

__all__ = ["LR", "Field", "available", "check", "content", "find", "number", "own_values", "value"]


@dataclass(frozen=True)
class Field:
    """One number of a group: an entry, or with ``index`` one place in the tuple of that name.

    Args:
        name: as the user writes it: ``"lr"``, ``"weight_decay"``, ``"betas.0"``.
        entry: the key in the group.
        index: the place in the entry where it is a tuple, None where it is a number.
    """

    name: str
    entry: str
    index: int | None = None

    @cached_property
    def key(self) -> str:
        """The key in the group under which its own value is kept."""
        return f"initial_{self.name}"


LR = Field("lr", "lr")


def find(optimizer: Optimizer, name: str, *, zero: bool = False) -> Field:
    """Return the field of that name; with ``zero`` also one that is 0 in all groups.

    Raises:
        InputError: a group has no such number, or it is 0 in all groups, where no factor changes
            anything.
    """
    entry, dot, index = name.partition(".") if isinstance(name, str) else ("", "", "")
    field = Field(name, entry, int(index) if dot and index.isdecimal() else None)
    check(optimizer, field)
    if not zero and not any(
        group.get(field.key) or value(group, field) for group in optimizer.param_groups
    ):
        raise InputError(
            f"schedules has the field {name!r}, which is 0 in every group of "
            f"{type(optimizer).__name__}, and a factor times 0 is 0: give the optimizer the value "
            "that the factors are of."
        )
    return field


def check(optimizer: Optimizer, field: Field) -> None:
    """Refuse groups that lack a field.

    Raises:
        InputError: a group has no such number, or it is a tensor that cannot be written.
    """
    for number, group in enumerate(optimizer.param_groups):
        present = available(group)
        if field.name not in present:
            raise InputError(
                f"schedules has the field {field.name!r}, which group {number} of "
                f"{type(optimizer).__name__} does not have as a number; it has "
                f"{', '.join(present)}."
            )
        held = content(group, field)
        if isinstance(held, Tensor) and held.requires_grad:
            raise InputError(
                f"{field.name} of group {number} is a tensor that requires a gradient, so that no "
                "schedule can write it: give the optimizer its detach()."
            )


def available(group: Mapping[str, Any]) -> list[str]:
    """Return the names of all fields of a group that are numbers."""
    names: list[str] = []
    for entry, content in group.items():
        if entry == "params" or entry.startswith("initial_"):
            continue
        if _is_number(content):
            names.append(entry)
        elif isinstance(content, (tuple, list)):
            names += [f"{entry}.{i}" for i, each in enumerate(content) if _is_number(each)]
    return names


def content(group: Mapping[str, Any], field: Field) -> Any:
    """Return what the group holds now, a number or a tensor.

    Raises:
        InputError: it holds nothing.
    """
    try:
        held = group[field.entry]
        return held if field.index is None else held[field.index]
    except (KeyError, IndexError, TypeError):
        raise InputError(
            f"each parameter group must have the field {field.name!r}, which is scheduled; one "
            f"that was added has only {', '.join(available(group))}."
        ) from None


def value(group: Mapping[str, Any], field: Field) -> float:
    """Return the number that the group holds now; of a tensor, this waits for its device."""
    return number(content(group, field))


def number(held: Any) -> float:
    """Return a number of a group as a float, also if it is a tensor."""
    return float(held.detach() if isinstance(held, Tensor) else held)


def own_values(groups: Iterable[Mapping[str, Any]], field: Field) -> list[float]:
    """Return each group's own value, which factors are of.

    Of a group that has none yet it is what the group holds, or where that is the very tensor of a
    group before it, the own value of that one.
    """
    values: list[float] = []
    of_tensors: dict[int, float] = {}
    for group in groups:
        held = content(group, field)
        kept = group.get(field.key)
        if kept is None and isinstance(held, Tensor):
            kept = of_tensors.get(id(held))
        own = number(held if kept is None else kept)
        of_tensors[id(held)] = own
        values.append(own)
    return values


def _is_number(content: object) -> bool:
    if isinstance(content, Tensor):
        return content.numel() == 1
    return isinstance(content, Real) and not isinstance(content, bool)
