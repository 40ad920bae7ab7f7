"""What every test shares: one core, so that sums come out the same on every machine."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_core():
    torch.set_num_threads(1)
