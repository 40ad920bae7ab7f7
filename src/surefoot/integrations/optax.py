"""Schedules for optax, and for whatever else calls a function of the update in JAX."""

from collections.abc import Callable
from typing import Any

from surefoot._base import checks
from surefoot._base.lazy import need
from surefoot.integrations._plan import resolved
from surefoot.schedules import Schedule

__all__ = ["to_optax"]


def to_optax(
    schedule: Schedule | str,
    lr: float = 1.0,
    *,
    total: int | None = None,
    updates_per_epoch: float | None = None,
    samples_per_update: float | None = None,
    tokens_per_update: float | None = None,
    beta2: float | None = 0.999,
) -> Callable[[Any], Any]:
    r"""Return the schedule as an optax schedule: a function of the count of updates.

    .. math:: \mathrm{rate}(t) = \mathrm{lr} \cdot \mathrm{schedule}(t)

    It can be traced under ``jax.jit``, ``jax.vmap`` and ``jax.lax.scan``, and goes wherever optax
    takes a ``learning_rate`` or, through ``optax.inject_hyperparams``, any other number. Only JAX
    is needed, optax is not. The result has JAX's default float type: in single precision counts are
    exact up to 2^24 updates and factors to about 1e-5; under ``jax_enable_x64`` they are those of
    ``schedule(t)``.

    Args:
        schedule: a schedule, or its text form.
        lr: peak learning rate, > 0, that the factors are multiplied by.
        total: length of the run in updates, ≥ 1; not needed for a schedule that is resolved.
        updates_per_epoch: needed where the schedule counts in epochs.
        samples_per_update: needed where the schedule counts in samples.
        tokens_per_update: needed where the schedule counts in tokens.
        beta2: of Adam, for ``warmup("auto")``; None for an optimizer without one.

    Raises:
        InputError: an argument is not what is allowed, or the schedule does not fit ``total``.
        MissingExtraError: JAX is not installed.

    Example:
        >>> rate = to_optax("warmup(2) >> linear(floor=0.5)", 0.1, total=4)
        >>> [round(float(rate(count)), 6) for count in (0, 1, 2, 3, 4, 1000)]
        [0.05, 0.1, 0.1, 0.075, 0.05, 0.05]
    """
    jnp = need("jax.numpy", "for surefoot.integrations.to_optax")
    peak = checks.learning_rate("lr", lr)
    plan = resolved(
        schedule,
        total,
        updates_per_epoch=updates_per_epoch,
        samples_per_update=samples_per_update,
        tokens_per_update=tokens_per_update,
        beta2=beta2,
    )

    def rate(count: Any) -> Any:
        return peak * plan.evaluate(jnp.asarray(count, dtype=float), jnp)

    return rate
