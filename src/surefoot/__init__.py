"""Surefoot: the learning rate of neural networks, found, scheduled, watched and diagnosed.

Names load when they are first used, so ``import surefoot`` takes milliseconds and does not load
torch; ``surefoot.read``, ``surefoot.diagnose`` and ``surefoot.plot`` never do.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from surefoot import errors as errors
    from surefoot import integrations as integrations
    from surefoot import plots as plots
    from surefoot import quantities as quantities
    from surefoot import records as records
    from surefoot import rules as rules
    from surefoot import schedules as schedules
    from surefoot._diagnose import diagnose as diagnose
    from surefoot._engine.layerwise import discriminative as discriminative
    from surefoot._engine.layerwise import layer_decay as layer_decay
    from surefoot._engine.replay import replay as replay
    from surefoot._engine.scheduler import Scheduler as Scheduler
    from surefoot._engine.snapshot import Snapshot as Snapshot
    from surefoot._engine.trial import Trial as Trial
    from surefoot._find import find as find
    from surefoot._report import report as report
    from surefoot._sweep import grid as grid
    from surefoot._sweep import sweep as sweep
    from surefoot._watch import Watch as Watch
    from surefoot._watch import watch as watch
    from surefoot.errors import InputError as InputError
    from surefoot.errors import Interrupted as Interrupted
    from surefoot.errors import SurefootError as SurefootError
    from surefoot.plots import plot as plot
    from surefoot.records import Cost as Cost
    from surefoot.records import Curve as Curve
    from surefoot.records import Diagnosis as Diagnosis
    from surefoot.records import Finding as Finding
    from surefoot.records import Interaction as Interaction
    from surefoot.records import RunLog as RunLog
    from surefoot.records import RunWriter as RunWriter
    from surefoot.records import Sensitivity as Sensitivity
    from surefoot.records import Verdict as Verdict
    from surefoot.records import read as read
    from surefoot.schedules import Schedule as Schedule
    from surefoot.schedules import schedule as schedule

_HOME = {
    "diagnose": "_diagnose",
    "discriminative": "_engine.layerwise",
    "find": "_find",
    "grid": "_sweep",
    "layer_decay": "_engine.layerwise",
    "plot": "plots",
    "read": "records",
    "replay": "_engine.replay",
    "report": "_report",
    "schedule": "schedules",
    "sweep": "_sweep",
    "watch": "_watch",
    "Cost": "records",
    "Curve": "records",
    "Diagnosis": "records",
    "Finding": "records",
    "InputError": "errors",
    "Interaction": "records",
    "Interrupted": "errors",
    "RunLog": "records",
    "RunWriter": "records",
    "Schedule": "schedules",
    "Scheduler": "_engine.scheduler",
    "Sensitivity": "records",
    "Snapshot": "_engine.snapshot",
    "SurefootError": "errors",
    "Trial": "_engine.trial",
    "Verdict": "records",
    "Watch": "_watch",
}
_FAMILIES = ("errors", "integrations", "plots", "quantities", "records", "rules", "schedules")
_NEED_TORCH = ("_engine", "_find", "_sweep", "_watch", "quantities")

__all__ = [
    "Cost",
    "Curve",
    "Diagnosis",
    "Finding",
    "InputError",
    "Interaction",
    "Interrupted",
    "RunLog",
    "RunWriter",
    "Schedule",
    "Scheduler",
    "Sensitivity",
    "Snapshot",
    "SurefootError",
    "Trial",
    "Verdict",
    "Watch",
    "__version__",
    "diagnose",
    "discriminative",
    "errors",
    "find",
    "grid",
    "integrations",
    "layer_decay",
    "plot",
    "plots",
    "quantities",
    "read",
    "records",
    "report",
    "rules",
    "schedule",
    "schedules",
    "sweep",
    "watch",
]


def __getattr__(name: str) -> Any:
    home = name if name in _FAMILIES else _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    if home.partition(".")[0] in _NEED_TORCH:
        from surefoot._base.lazy import need

        need("torch", f"for surefoot.{name}")
    module = importlib.import_module(f"surefoot.{home}")
    value = module if name in _FAMILIES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
