"""The numbers in parameter groups that a schedule can move: lr, weight decay, betas and others."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InputError

__all__ = ["LR", "Field", "find", "own", "value"]


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
    for number, group in enumerate(optimizer.param_groups):
        present = available(group)
        if name not in present:
            raise InputError(
                f"schedules has the field {name!r}, which group {number} of "
                f"{type(optimizer).__name__} does not have as a number; it has "
                f"{', '.join(present)}."
            )
    if not zero and not any(
        group.get(field.key) or value(group, field) for group in optimizer.param_groups
    ):
        raise InputError(
            f"schedules has the field {name!r}, which is 0 in every group of "
            f"{type(optimizer).__name__}, and a factor times 0 is 0: give the optimizer the value "
            "that the factors are of."
        )
    return field


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


def value(group: Mapping[str, Any], field: Field) -> float:
    """Return what the group holds now; of a tensor, this waits for its device."""
    content = group[field.entry]
    return float(content if field.index is None else content[field.index])


def own(group: dict[str, Any], field: Field) -> float:
    """Return the group's own value, which factors are of; a group without one keeps it from now."""
    kept = group.get(field.key)
    if type(kept) is not float:
        kept = group[field.key] = value(group, field) if kept is None else float(kept)
    return kept


def _is_number(content: object) -> bool:
    if isinstance(content, Tensor):
        return content.numel() == 1
    return isinstance(content, (int, float)) and not isinstance(content, bool)
