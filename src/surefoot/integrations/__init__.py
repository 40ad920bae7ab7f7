"""Floor 8: to other frameworks and back, one thin file each; a framework loads when it is used.

torch needs none of this: :class:`surefoot.Scheduler` goes wherever a torch scheduler does.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.integrations import keras as keras
    from surefoot.integrations import optax as optax
    from surefoot.integrations import optuna as optuna
    from surefoot.integrations.keras import to_keras as to_keras
    from surefoot.integrations.optax import to_optax as to_optax
    from surefoot.integrations.optuna import from_optuna as from_optuna
    from surefoot.integrations.optuna import to_optuna as to_optuna

_HOME = {
    "from_optuna": "optuna",
    "to_keras": "keras",
    "to_optax": "optax",
    "to_optuna": "optuna",
}

__all__ = ["from_optuna", "keras", "optax", "optuna", "to_keras", "to_optax", "to_optuna"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'surefoot.integrations' has no attribute {name!r}")
    module = importlib.import_module(f"surefoot.integrations.{_HOME.get(name, name)}")
    return getattr(module, name) if name in _HOME else module


def __dir__() -> list[str]:
    return sorted(__all__)
