"""Control by the gradient: lower where gradients are large, higher where they are small."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import count, one_of, positive
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._controller import Controller, State, at_least_one

__all__ = ["GradientDependent", "gradient_dependent"]


@dataclass(frozen=True)
class GradientDependent(Controller):
    """Lower the rate where the gradient is larger than usual, raise it where it is smaller.

    factor = clip((reference / ‖g‖)^power, low, high)

    The reference is the running geometric mean of the norms before this one; the first norm has the
    factor 1. Then norm k = 1, 2, … is taken in: log reference ← log reference + gainₖ · (log ‖g‖ −
    log reference), gainₖ = (1 − β) / (1 − βᵏ), β = 1 − 1/memory. So a constant norm has the factor
    1 exactly, the scale of the gradient cancels, and norm k, if it is c × the reference, multiplies
    the reference by c^gainₖ: by about c^(1/k) early, by less than c^(1.6/memory) from k = memory
    on (for c > 1), and by c^(1/memory) in the long run.

    At power 1 an update of plain gradient descent has the length lr · reference whatever the
    gradient is, as if it was normalised; at power 1 and ``high=1`` that is clipping of the norm at
    the reference. A norm of 0 sets ``high`` (1 if no other norm was seen) and does not enter the
    reference. With Adam, whose updates do not grow with the gradient, the rate itself is
    lowered.

    Which update it acts on: ``observe(grad_norm=…)`` between ``backward()`` and
    ``optimizer.step()`` acts on this update; ``step(grad_norm=…)`` after it acts on the next.
    Give the norm before any clipping, and under AMP after ``unscale_``.

    Args:
        power: exponent > 0; 0.5 goes half the way of a normalised gradient, in decades.
        memory: updates that the reference goes back over, ≥ 2.
        low: least factor, in (0, 1].
        high: greatest factor, ≥ 1.
        on_nan: a norm that is NaN or infinite is an ``"error"``, changes nothing (``"ignore"``),
            or sets the factor of its update to ``low`` (``"lower"``); it never enters the
            reference. Under AMP some first updates overflow and are skipped: take ``"ignore"``.

    Raises:
        InputError: an argument is out of its range; in ``update``: no norm, a negative one, or not
            a finite one.

    Example:
        >>> control = gradient_dependent(power=1, memory=100, low=0.01)
        >>> state, factors = control.start(), []
        >>> for norm in [3.0, 3.0, 3.0, 300.0, 3.0]:
        ...     state, factor = control.update(state, {"grad_norm": norm})
        ...     factors.append(round(factor, 3))
        >>> factors
        [1.0, 1.0, 1.0, 0.01, 2.0]

    Reference:
        Near relatives: Zhang et al., Why Gradient Clipping Accelerates Training: A Theoretical
        Justification for Adaptivity, 2020 (rates ∝ 1 / (L₀ + L₁‖g‖)); Seetharaman et al.,
        AutoClip: Adaptive Gradient Clipping for Source Separation Networks, 2020 (a bound from the
        norms seen).
    """

    power: float = 0.5
    memory: int = 100
    low: float = 0.01
    high: float = 2.0
    on_nan: str = "error"

    name = "gradient_dependent"
    needs = "grad_norm"

    def __post_init__(self) -> None:
        self._check(
            power=positive,
            memory=lambda name, value: count(name, value, least=2),
            low=_checks.ratio,
            high=at_least_one,
            on_nan=lambda name, value: one_of(name, value, ("error", "ignore", "lower")),
        )

    def start(self) -> State:
        """Return the state before the first norm."""
        return {
            "factor": 1.0,
            "log_reference": 0.0,  # of the norms seen, debiased
            "weight": 0.0,  # 1 − β^k, the weight that the reference rests on
        }

    def update(self, state: State, observation: Mapping[str, Any]) -> tuple[State, float]:
        """Return the state and the factor after one more ``{"grad_norm": …}``."""
        norm = self.observed(observation)
        if norm < 0:
            raise InputError(f"grad_norm must be at least 0, not {norm:g}.")
        new = dict(state)
        if not math.isfinite(norm):
            if self.on_nan == "error":
                raise InputError(
                    f"grad_norm must be finite, not {norm}: look for what made it so, or say what "
                    'gradient_dependent should do with on_nan="ignore" or "lower".'
                )
            if self.on_nan == "lower":
                new["factor"] = self.low
        elif norm > 0:
            level = math.log(norm)
            gain, weight, reference = 1 / self.memory, new["weight"], new["log_reference"]
            new["factor"] = self._factor(self.power * (reference - level)) if weight else 1.0
            new["weight"] = weight = weight + (1 - weight) * gain
            new["log_reference"] = reference + (level - reference) * (gain / weight)
        else:
            new["factor"] = self.high if new["weight"] else 1.0
        return new, new["factor"]

    def _factor(self, log_factor: float) -> float:
        """Return the factor, clipped where it cannot overflow."""
        if log_factor >= math.log(self.high):
            return self.high
        return max(self.low, math.exp(log_factor))

    def describe(self) -> str:
        """Return what the controller does, in words."""
        return (
            f"Multiply the rate by (usual gradient norm / gradient norm) to the power "
            f"{self.power:g}, within {self.low:g} … {self.high:g}; usual is the geometric mean "
            f"over about {self.memory} updates."
        )


gradient_dependent = GradientDependent
