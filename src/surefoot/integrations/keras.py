"""Schedules for Keras 3, on any of its backends."""

from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from surefoot._base import checks
from surefoot._base.lazy import need
from surefoot.integrations._plan import resolved
from surefoot.schedules import Schedule, from_dict

__all__ = ["SurefootSchedule", "to_keras"]

if TYPE_CHECKING:
    SurefootSchedule: Any
    """The ``keras.optimizers.schedules.LearningRateSchedule`` that :func:`to_keras` returns.

    It is made, and registered for loading as ``surefoot>SurefootSchedule``, when it is first asked
    for, so that this module can be imported without Keras.
    """


def to_keras(
    schedule: Schedule | str,
    lr: float = 1.0,
    *,
    total: int | None = None,
    updates_per_epoch: float | None = None,
    samples_per_update: float | None = None,
    tokens_per_update: float | None = None,
    beta2: float | None = 0.999,
) -> Any:
    r"""Return the schedule as a Keras ``LearningRateSchedule``, for ``optimizer(learning_rate=…)``.

    .. math:: \mathrm{rate}(t) = \mathrm{lr} \cdot \mathrm{schedule}(t)

    It works on the TensorFlow, JAX and torch backends, and is saved with the model: the resolved
    schedule is part of its configuration. In a new process import ``SurefootSchedule`` from this
    module before ``keras.models.load_model``. Rates have Keras' float type, and are computed in
    single precision at least: counts are then exact up to 2^24 updates, factors to about 1e-5.

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
        MissingExtraError: Keras is not installed.

    Example::

        rate = to_keras("warmup(500) >> cosine(floor=0.1)", 3e-4, total=10_000)
        model.compile(optimizer=keras.optimizers.AdamW(learning_rate=rate), loss="mse")
    """
    plan = resolved(
        schedule,
        total,
        updates_per_epoch=updates_per_epoch,
        samples_per_update=samples_per_update,
        tokens_per_update=tokens_per_update,
        beta2=beta2,
    )
    return _kind()(plan, checks.learning_rate("lr", lr))


def __getattr__(name: str) -> Any:
    if name == "SurefootSchedule":
        return _kind()
    raise AttributeError(f"module 'surefoot.integrations.keras' has no attribute {name!r}")


@cache
def _kind() -> Any:
    """Return the class, which can be written down only once Keras is there."""
    keras = need("keras", "for surefoot.integrations.to_keras")

    @keras.saving.register_keras_serializable(package="surefoot")
    class SurefootSchedule(keras.optimizers.schedules.LearningRateSchedule):
        """A Surefoot schedule, resolved, times a peak learning rate."""

        __qualname__ = "SurefootSchedule"

        def __init__(self, schedule: Schedule, lr: float) -> None:
            self.schedule = schedule
            self.lr = lr

        def __call__(self, step: Any) -> Any:
            """Return the learning rate of update number ``step``."""
            wanted = keras.config.floatx()
            used = "float64" if wanted == "float64" else "float32"
            factor = self.schedule.evaluate(keras.ops.cast(step, used), _arrays(used))
            return keras.ops.cast(self.lr * factor, wanted)

        def get_config(self) -> dict[str, Any]:
            """Return the schedule and the rate in JSON types."""
            return {"schedule": self.schedule.to_dict(), "lr": self.lr}

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            """Return the schedule that :meth:`get_config` describes."""
            return cls(from_dict(config["schedule"]), config["lr"])

    return SurefootSchedule


@cache
def _arrays(dtype: str) -> SimpleNamespace:
    """Return the array functions that formulas use, by Keras' backend, for numbers of ``dtype``.

    Places in a list are of that type too, for TensorFlow mixes no types.
    """
    ops = need("keras", "for surefoot.integrations.to_keras").ops

    def searchsorted(ascending: Any, values: Any, side: str) -> Any:
        knots = ops.convert_to_tensor(ascending, dtype=dtype)
        found = ops.searchsorted(knots, ops.reshape(values, (-1,)), side=side)
        return ops.cast(ops.reshape(found, ops.shape(values)), dtype)

    def take(values: Any, index: Any) -> Any:
        return ops.take(ops.convert_to_tensor(values, dtype=dtype), ops.cast(index, "int32"))

    return SimpleNamespace(
        where=ops.where,
        minimum=ops.minimum,
        maximum=ops.maximum,
        cos=ops.cos,
        searchsorted=searchsorted,
        take=take,
    )
