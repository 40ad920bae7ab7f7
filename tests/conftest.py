"""What every test shares: one core and the same examples, so that each run is like the other."""

import pytest
import torch
from hypothesis import settings

from surefoot._engine.backends import experience

settings.register_profile("surefoot", derandomize=True, deadline=None)
settings.load_profile("surefoot")


@pytest.fixture(autouse=True, scope="session")
def _one_core():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _without_experience(tmp_path, monkeypatch):
    """Let no test know how long compiling took before it."""
    home = "surefoot._engine.backends.experience"
    monkeypatch.setattr(f"{home}._path", lambda: tmp_path / "compiled.json")
    monkeypatch.setattr(f"{home}._here", experience._Place())
    monkeypatch.setattr(f"{home}._there", experience._Place())
