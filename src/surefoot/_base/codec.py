"""Frozen nouns to JSON and back: floats that are not finite become null, and null becomes NaN."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Self, Union, cast, get_args, get_origin

from surefoot.errors import InputError

__all__ = ["FORMAT", "Record", "dump_json", "plain"]

FORMAT = 1


def plain(value: Any) -> Any:
    """Return ``value`` in JSON types only; a float that is not finite becomes None."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(item) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("list[Any]", value)]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return plain(value.tolist())
    raise InputError(f"{type(value).__name__} cannot be written as JSON: {value!r:.80}")


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Return ``value`` as strict JSON text (no NaN, no Infinity)."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


class Record:
    """Base of the frozen nouns: a dataclass that writes itself to JSON and reads itself back.

    A field with ``metadata={"json": False}`` is for drawing only and is left out. A value that is
    not finite is written as null and comes back as NaN where the field is a plain float, and as
    None where the field allows None.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {field.name: plain(getattr(self, field.name)) for field in _json_fields(type(self))}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return one JSON document that names its noun and its format."""
        document = {"surefoot": type(self).__name__, "format": FORMAT, **self.to_dict()}
        return dump_json(document, indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the noun from what :meth:`to_dict` returned; derived keys are ignored.

        Raises:
            InputError: a field is missing or has another type.
        """
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in _json_fields(cls):
            if field.name in data:
                where = f"{cls.__name__}.{field.name}"
                values[field.name] = _restore(where, hints[field.name], data[field.name])
            elif _required(field):
                raise InputError(f"{cls.__name__} JSON lacks the field {field.name!r}.")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the noun from what :meth:`to_json` returned.

        Raises:
            InputError: it is no JSON, another noun, or written by a newer format.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"This is no JSON: {error}.") from None
        if not isinstance(data, dict):
            raise InputError(f"A {cls.__name__} is a JSON object, not {type(data).__name__}.")
        document = cast("dict[str, Any]", data)
        noun = document.get("surefoot", cls.__name__)
        if noun != cls.__name__:
            raise InputError(f"This JSON holds a {noun}, not a {cls.__name__}.")
        written = document.get("format", FORMAT)
        if written != FORMAT:
            raise InputError(
                f"This {cls.__name__} has format {written!r}; this Surefoot reads format {FORMAT}: "
                "update Surefoot."
            )
        return cls.from_dict(document)


def _json_fields(cls: type[Record]) -> list[dataclasses.Field[Any]]:
    fields = dataclasses.fields(cast("Any", cls))
    return [field for field in fields if field.metadata.get("json", True)]


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _restore(where: str, hint: Any, value: Any) -> Any:
    """Return the JSON ``value`` as the type that ``hint`` names."""
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        if value is None:
            return None
        (inner,) = [arg for arg in get_args(hint) if arg is not types.NoneType]
        return _restore(where, inner, value)
    if origin is tuple:
        (inner, *_) = get_args(hint)
        items = _expect(where, value, list)
        return tuple(_restore(where, inner, item) for item in items)
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        (_, inner) = get_args(hint)
        items = _expect(where, value, dict)
        return {key: _restore(where, inner, item) for key, item in items.items()}
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict(_expect(where, value, dict))
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float, types.NoneType)):
            raise InputError(f"{where} must be a number or null, not {value!r:.60}.")
        return math.nan if value is None else float(value)
    if hint in (int, str, bool):
        return _expect(where, value, hint)
    return value


def _expect(where: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where} must be a {kind.__name__}, not {value!r:.60}.")
    return value
