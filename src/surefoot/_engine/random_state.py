"""The random generators of torch, NumPy and Python: captured, put back, and kept apart."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["RandomState"]


class RandomState:
    """The state of every global random generator, to be put back bit for bit.

    Covers torch on the CPU and on every CUDA device in use, NumPy's global generator and
    Python's ``random``.
    """

    def __init__(self) -> None:
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._numpy: Any = np.random.get_state()  # noqa: NPY002  users' code draws from it
        self._python = random.getstate()

    def restore(self) -> None:
        """Put every generator back."""
        torch.set_rng_state(self._torch)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        elif torch.cuda.is_initialized():  # CUDA came to life since: back to where it began
            for generator in torch.cuda.default_generators:
                generator.manual_seed(generator.initial_seed())
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)

    @classmethod
    def seeded(cls, seed: int) -> "RandomState":
        """Return the state right after seeding every generator; the current one is untouched."""
        before = cls()
        try:
            # torch.manual_seed would also seed a CUDA that is still to come, for good
            torch.default_generator.manual_seed(seed)
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            return cls()
        finally:
            before.restore()

    @contextmanager
    def active(self) -> Generator[None]:
        """Draw from this state inside the block; remember where it ended; put the old one back."""
        outside = RandomState()
        self.restore()
        try:
            yield
        finally:
            self.__init__()
            outside.restore()
