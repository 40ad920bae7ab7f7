"""The hooks on an optimizer that measure its updates."""

import warnings
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from surefoot._watch.budget import Budget
from surefoot.quantities import Part, Quantity, Skipped, Update

__all__ = ["Measured", "Measuring"]

Measured = dict[Quantity, Mapping[str, Tensor | float]]
"""The numbers of each quantity that was measured."""


FREE: frozenset[Part] = frozenset({"loss", "micro_batches"})
"""Parts for which nothing has to be taken from the optimizer."""

NOTHING: frozenset[Part] = frozenset()

SEVERAL = 8
"""Steps without a take after which they are not those of one update."""


UNHEARD = 3
"""Takes without a step before steps are taken to be unheard: a GradScaler skips first ones, too."""


class Measuring:
    """Measures quantities around ``optimizer.step()``, whatever stands before and after it.

    A step inside of a compiled function calls no hooks, so that nothing is added to its graph.
    While no hook was ever called, updates are measured from one :meth:`take` to the next.

    Args:
        model: in training.
        optimizer: whose updates.
        quantities: what to measure.
        budget: tells when.
        first: number of the first update.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        quantities: Sequence[Quantity],
        budget: Budget,
        first: int,
    ) -> None:
        self.steps = 0
        """How often ``optimizer.step()`` was seen."""
        self._steps = self._takes = 0  # steps since the last take
        self._model = model
        self._optimizer = optimizer
        self._quantities = list(quantities)
        self._each = [each for each in quantities if each.cadence == 1 and not each.needs - FREE]
        self._rare = any(each.cadence and each not in self._each for each in quantities)
        self._budget = budget
        self._number = self._first = first
        self._measured: Measured = {}
        self._plain = Update(optimizer)  # one of which no part is taken
        self._update: Update | None = None  # under way
        self._ended: Update | None = None  # waits for the gradient of the next one
        self._waiting: list[Quantity] = []  # what is to be measured with that gradient
        self._micro: list[Tensor] = []  # the first and the last square
        self._micro_count = 0
        self._micro_ranks = 1
        self._plan()
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    @property
    def stepped(self) -> bool:
        """Whether it was since the last take."""
        return self._steps > 0

    def remove(self) -> None:
        """Take the hooks off and let go of what was held."""
        for hook in self._hooks:
            hook.remove()
        self._update = self._ended = None

    def micro_batch(self) -> None:
        """Note that another backward pass has added to the gradients."""
        started = perf_counter()
        self._micro_count += 1
        if self._micro_count == 1:
            self._micro_ranks = self._ranks_apart()
        if any("micro_batches" in quantity.needs for quantity in self._due):
            with torch.no_grad():
                update = Update(self._optimizer, ("gradient",))
                update.begin()
                self._micro[1:] = [update.norm_squared("gradient")]
        self._budget.spend(perf_counter() - started, measuring=True)

    def take(self) -> Measured:
        """End an update and return what was measured of it."""
        self._takes += 1
        around = not self.steps and self._takes >= UNHEARD
        if around:
            self._around()
        elif self.steps and not self.stepped:
            self._left_out()
        measured, self._measured = self._measured, {}
        self._micro_count, self._micro = 0, []
        if self.stepped or around:
            self._steps = 0
            self._number = self._first + self._takes if around else self._number + 1
            self._plan()
        if around and self._parts:
            with torch.no_grad():
                self._begin(gradients=False)
        return measured

    def _ranks_apart(self) -> int:
        """Return over how many ranks the gradients are still to be averaged."""
        if isinstance(self._model, DistributedDataParallel):
            together = self._model.require_backward_grad_sync
            return 1 if together else distributed.get_world_size()
        return 1

    def _plan(self) -> None:
        """Choose what to measure of the next update."""
        paired, number = self._budget.due(self._number), self._number
        if not paired and not self._rare:
            self._due, self._parts = self._each, NOTHING
            return
        self._due = [
            quantity
            for quantity in self._quantities
            if (paired if quantity.cadence is None else number % quantity.cadence == 0)
        ]
        parts: set[Part] = {part for quantity in self._due for part in quantity.needs}
        self._parts = frozenset(parts - FREE)
        if paired:
            self._budget.begin()

    def _around(self) -> None:
        """End the update that was measured from the last take on."""
        started = perf_counter()
        with torch.no_grad():
            self._follow()
        self._end()
        self._budget.spend(perf_counter() - started, measuring=bool(self._parts))

    def _left_out(self) -> None:
        """Note an update whose step was never called: a GradScaler left it out."""
        update = Update(self._optimizer)
        update.skipped = 1.0
        for quantity in self._due:
            if isinstance(quantity, Skipped):
                self._measured[quantity] = quantity.measure(update)

    def _before_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if torch.compiler.is_compiling() or not (self._waiting or self._parts):
            return
        started = perf_counter()
        with torch.no_grad():
            self._follow()
            self._begin()
        self._budget.spend(perf_counter() - started, measuring=True)

    def _after_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            return
        started = perf_counter()
        self._end()
        self.steps += 1
        self._steps += 1
        if self._steps == SEVERAL:
            self._let_go()
        self._budget.spend(perf_counter() - started, measuring=bool(self._parts))

    def _let_go(self) -> None:
        """Measure no more until the next take: these steps are of a search, or the like."""
        self._due = [quantity for quantity in self._due if not quantity.needs]
        self._parts = NOTHING
        self._measured.clear()
        self._ended, self._waiting = None, []

    def _begin(self, *, gradients: bool = True) -> None:
        if not self._parts:
            return
        update = Update(self._optimizer, self._parts)
        try:
            update.begin(gradients=gradients)
        except torch.OutOfMemoryError:
            self._do_without_copies()
            return
        if self._micro_count > 1 and len(self._micro) > 1:
            count = self._micro_count
            mean = self._micro[1] / count**2
            update.micro_batches = (count * self._micro_ranks, self._micro[0], mean)
        self._update = update

    def _end(self) -> None:
        update, self._update = self._update, None
        if update is None:
            update = self._plain
            update.skipped = getattr(self._optimizer, "found_inf", None)
            with torch.no_grad():
                for quantity in self._due:
                    if not quantity.needs or quantity.needs <= FREE:
                        numbers = quantity.measure(update)
                        if numbers or quantity.needs:
                            self._measured[quantity] = numbers
            return
        update.skipped = getattr(self._optimizer, "found_inf", None)
        with torch.no_grad():
            update.end()
            for quantity in self._due:
                if update.has(quantity.needs):
                    followed = self._measured.get(quantity, {})  # numbers of the update before
                    self._measured[quantity] = {**followed, **quantity.measure(update)}
                    if "next_gradient" in quantity.needs:
                        self._ended = update
                        self._waiting.append(quantity)
        update.rest()

    def _follow(self) -> None:
        update, self._ended = self._ended, None
        waiting, self._waiting = self._waiting, []
        if update is not None and update.followed:
            for quantity in waiting:
                more = quantity.follow(update)
                self._measured[quantity] = {**self._measured.get(quantity, {}), **more}

    def _do_without_copies(self) -> None:
        """Measure no more what needs a copy of the weights, for which there is no memory."""
        lost = [quantity for quantity in self._quantities if "step" in quantity.needs]
        self._quantities = [each for each in self._quantities if each not in lost]
        self._due = [each for each in self._due if each not in lost]
        self._parts = NOTHING
        names = ", ".join(type(quantity).__name__ for quantity in lost)
        warnings.warn(
            f"There is no memory for a copy of the weights: {names} will not be measured from here "
            "on. The training goes on.",
            RuntimeWarning,
            stacklevel=2,
        )
