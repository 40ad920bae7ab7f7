"""Tests against other libraries, the installed ones: they run only under ``-m peers``."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
PEERS = (
    "accelerate", "jax", "keras", "lightning", "optax", "optuna", "pytorch_warmup", "tensorflow",
    "timm", "transformers",
)  # fmt: skip

os.environ.setdefault("KERAS_BACKEND", "torch")  # of this process; others are started for the rest
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _open_timm_without_its_models():
    """Let ``timm.scheduler`` be imported alone.

    ``import timm`` loads every model, and for some of them torchvision, whose build must fit that
    of torch. The schedulers need neither.
    """
    found = importlib.util.find_spec("timm")
    if found is not None and "timm" not in sys.modules:
        package = ModuleType("timm")
        package.__spec__ = found
        package.__path__ = list(found.submodule_search_locations or ())
        sys.modules["timm"] = package


_open_timm_without_its_models()


def pytest_ignore_collect(collection_path, config):
    """Do not even import these files unless they are asked for: it takes many seconds."""
    if "peers" not in config.option.markexpr.replace("not peers", ""):
        return True
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"{', '.join(missing)} not installed: run make test-peers.")
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.peers)
