"""Floor 8: schedules in other frameworks, one thin file each; a framework loads when it is used.

torch needs none of this: :class:`surefoot.Scheduler` goes wherever a torch scheduler does.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.integrations import keras as keras
    from surefoot.integrations import optax as optax
    from surefoot.integrations.keras import to_keras as to_keras
    from surefoot.integrations.optax import to_optax as to_optax

_HOME = {"to_keras": "keras", "to_optax": "optax"}

__all__ = ["keras", "optax", "to_keras", "to_optax"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'surefoot.integrations' has no attribute {name!r}")
    module = importlib.import_module(f"surefoot.integrations.{_HOME.get(name, name)}")
    return getattr(module, name) if name in _HOME else module


def __dir__() -> list[str]:
    return sorted(__all__)
