"""The JSON form of schedules."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from surefoot._base.codec import FORMAT
from surefoot.errors import InputError
from surefoot.schedules._nodes import NODES
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.function import Function

__all__ = ["from_dict", "from_json"]

DEEPEST = 100


def from_json(text: str, *, allow_functions: bool = False) -> Schedule:
    """Return the schedule that :meth:`Schedule.to_json` wrote.

    Args:
        text: the JSON.
        allow_functions: whether a schedule that is a Python function may import its module.

    Raises:
        InputError: it is no such JSON; the message names the place in the document.

    Example:
        >>> from surefoot.schedules import cosine, warmup
        >>> from_json((warmup("5%") >> cosine()).to_json())
        warmup("5%") >> cosine()
    """
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"This is no JSON: {error}.") from None
    return from_dict(document, allow_functions=allow_functions)


def from_dict(document: Any, *, allow_functions: bool = False) -> Schedule:
    """Return the schedule that :meth:`Schedule.to_dict` wrote.

    Args:
        document: the dictionary.
        allow_functions: whether a schedule that is a Python function may import its module.

    Raises:
        InputError: it is no such dictionary; the message names the place in it.
    """
    if isinstance(document, Mapping):
        fields = dict(cast("Mapping[str, Any]", document))
        noun, written = fields.pop("surefoot", "Schedule"), fields.pop("format", FORMAT)
        if noun != "Schedule":
            raise InputError(f"This JSON holds a {noun}, not a Schedule.")
        if written != FORMAT:
            raise InputError(
                f"This schedule has format {written!r}; this Surefoot reads format {FORMAT}: "
                "update Surefoot."
            )
        document = fields
    return _node(document, "schedule", 0, allow_functions=allow_functions)


def _node(value: Any, where: str, depth: int, *, allow_functions: bool) -> Schedule:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a JSON object, not {value!r:.60}.")
    if depth > DEEPEST:
        raise InputError(f"{where} is nested more than {DEEPEST} deep.")
    fields = dict(cast("Mapping[str, Any]", value))
    kind = fields.pop("type", None)
    node = NODES.get(kind) if isinstance(kind, str) else None
    if node is None:
        raise InputError(f"{where}.type must be one of {', '.join(NODES)}, not {kind!r:.60}.")
    if node is Function and not allow_functions:
        raise InputError(
            f"{where} is a Python function, {fields.get('target')!r:.80}, which is read only with "
            "allow_functions=True, for it is code."
        )
    allowed = {field.name: field for field in dataclasses.fields(cast("Any", node))}
    for name in fields:
        if name not in allowed:
            raise InputError(f"{where} has no field {name!r}; it has {', '.join(allowed)}.")
    for name, field in allowed.items():
        if name not in fields and field.default is dataclasses.MISSING:
            raise InputError(f"{where} lacks the field {name!r}.")
    if "parts" in fields:
        if not isinstance(fields["parts"], list):
            raise InputError(f"{where}.parts must be a list, not {fields['parts']!r:.60}.")
        parts = enumerate(cast("list[Any]", fields["parts"]))
        fields["parts"] = tuple(
            _node(part, f"{where}.parts[{i}]", depth + 1, allow_functions=allow_functions)
            for i, part in parts
        )
    try:
        return cast("Any", node)(**fields)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
