"""Well-known schedules, each one line over the algebra."""

from collections.abc import Callable

from surefoot._base.checks import count, fraction, one_of, positive
from surefoot._base.units import AUTO, Duration, duration, period
from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.cosine import cosine
from surefoot.schedules.hold import hold
from surefoot.schedules.one_minus_sqrt import one_minus_sqrt
from surefoot.schedules.piecewise import piecewise
from surefoot.schedules.polynomial import linear
from surefoot.schedules.power import inverse_sqrt
from surefoot.schedules.warmup import warmup as warm_up

__all__ = [
    "RECIPES",
    "linear_to_zero",
    "noam",
    "one_cycle",
    "one_cycle_momentum",
    "sgdr",
    "slanted_triangular",
    "wsd",
]

_DECAYS = {"cosine": cosine, "linear": linear, "one_minus_sqrt": one_minus_sqrt}


def linear_to_zero(warmup: Duration = "5%") -> Schedule:
    """Return a warm-up and a decay in a line to zero over the rest of the run.

    ``warmup(w) >> linear()``. With it the best peak rate hardly depends on the length of the run.

    Args:
        warmup: duration of the warm-up, or ``"auto"``.

    Raises:
        InputError: the duration is none.

    Example:
        >>> linear_to_zero()
        warmup("5%") >> linear()

    Reference:
        Bergsma et al., Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works
        Best for LLMs, 2025.
    """
    return warm_up(_warmup(warmup)) >> linear()


def wsd(
    warmup: Duration = "5%", decay: Duration = "20%", shape: str = "linear", floor: float = 0.0
) -> Schedule:
    """Return warm-up, stable, decay: a trapezoid, whose run can be extended before the decay.

    ``warmup(w) >> hold() >> linear(d, floor)``

    Args:
        warmup: duration of the warm-up, or ``"auto"``.
        decay: duration of the decay at the end.
        shape: ``"linear"``, ``"one_minus_sqrt"`` or ``"cosine"``, of the decay.
        floor: factor that the decay ends at; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> wsd(100, decay=200).resolve(1000)
        warmup(100) >> hold(700) >> linear(200)
        >>> wsd(shape="one_minus_sqrt")
        warmup("5%") >> hold() >> one_minus_sqrt("20%")

    Reference:
        Hu et al., MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training
        Strategies, 2024; the shapes from Hägele et al., Scaling Laws and Compute-Optimal Training
        Beyond Fixed Training Durations, 2024.
    """
    fall = _DECAYS[one_of("shape", shape, _DECAYS)]
    return warm_up(_warmup(warmup)) >> hold() >> fall(duration("decay", decay), floor=floor)


def one_cycle(
    rise: Duration = 0.3,
    start: float = 0.04,
    end: float = 4e-6,
    shape: str = "cosine",
    *,
    three_phase: bool = False,
) -> Schedule:
    """Return one cycle: up from ``start`` to the peak, down to far below where it started.

    ``warmup(rise, start, shape) >> cosine(floor=end)``, and with three phases
    ``warmup(rise, start, shape) >> cosine(rise, floor=start) >> start * cosine(floor=end / start)``

    Args:
        rise: duration of the rise, by default 30 % of the run.
        start: factor that the cycle starts from; in [0, 1], and in (0, 1] for three phases.
        end: factor that the cycle ends at; in [0, 1], at most ``start`` for three phases.
        shape: ``"cosine"`` or ``"linear"``.
        three_phase: whether to come down to ``start`` as quickly as it went up, then to ``end``.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> one_cycle()
        warmup(0.3, start=0.04, shape="cosine") >> cosine(floor=4e-06)
        >>> one_cycle(30, start=0.1, end=0.001, shape="linear", three_phase=True).resolve(100)
        warmup(30, start=0.1) >> linear(30, floor=0.1) >> 0.1 * linear(40, floor=0.01)

    Reference:
        Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large
        Learning Rates, 2018.
    """
    fall = _DECAYS[one_of("shape", shape, ("cosine", "linear"))]
    up = warm_up(duration("rise", rise), start=fraction("start", start), shape=shape)
    if not three_phase:
        return up >> fall(floor=fraction("end", end))
    if not 0 <= end <= start or start == 0:
        raise InputError(
            f"end must lie in [0, start], and start be above 0, not {end!r}, {start!r}."
        )
    return up >> fall(rise, floor=start) >> start * fall(floor=end / start)


def one_cycle_momentum(
    rise: Duration = 0.3,
    low: float = 0.85 / 0.95,
    shape: str = "cosine",
    *,
    three_phase: bool = False,
) -> Schedule:
    """Return the momentum that goes with :func:`one_cycle`: down while the rate goes up, and back.

    ``piecewise([(0, 1), (rise, low), ("100%", 1)], shape)``, and with three phases
    ``piecewise([(0, 1), (rise, low)], shape, rise) >> piecewise([(0, low), (rise, 1)], shape)``.
    The factors are relative to the momentum of the optimizer: with 0.95 there, it goes from 0.95 to
    0.85 and back.

    Args:
        rise: duration for which the rate rises, by default 30 % of the run.
        low: least factor; in [0, 1].
        shape: ``"cosine"`` or ``"linear"``.
        three_phase: whether to be back as soon as the rate has come down to where it started.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> one_cycle_momentum(0.25, low=0.9, shape="linear").resolve(8).values().round(6).tolist()
        [1.0, 0.95, 0.9, 0.916667, 0.933333, 0.95, 0.966667, 0.983333]
    """
    one_of("shape", shape, ("cosine", "linear"))
    period("rise", rise)
    fraction("low", low)
    if not three_phase:
        return piecewise([(0, 1), (rise, low), ("100%", 1)], shape=shape)
    fall = piecewise([(0, 1), (rise, low)], shape=shape, duration=rise)
    return fall >> piecewise([(0, low), (rise, 1)], shape=shape)


def sgdr(first: Duration, growth: float = 1.0, decay: float = 1.0, floor: float = 0.0) -> Schedule:
    """Return a cosine with warm restarts: ``cosine(first, floor).repeat(growth=…, decay=…)``.

    Args:
        first: duration of the first cycle, at least one update.
        growth: how many times as long as the one before each cycle is; 1, or in [1.000001, 1000].
        decay: what the height above the floor is multiplied by after each cycle; in (0, 1].
        floor: factor that each cycle ends at; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> sgdr(10, growth=2)
        cosine(10).repeat(growth=2)

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
    """
    return cosine(period("first", first), floor=floor).repeat(growth=growth, decay=decay)


def noam(warmup: int, d_model: int | None = None) -> Schedule:
    """Return the schedule of the Transformer: a warm-up, then one over the square root of the time.

    With s = t + 1: factor(t) = min(s / w, √(w / s)), times 1 / √(d_model · w) if d_model is given;
    with that, and a base lr of 1, factors are the published rates.

    ``warmup(w) >> √(w / (w + 1)) * inverse_sqrt(w + 1)``

    Args:
        warmup: w, updates, ≥ 1.
        d_model: width of the model, ≥ 1.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> rate = noam(4000, d_model=512).resolve(100_000)
        >>> f"{rate(3999):.6e} {rate(0):.4e} {rate(99_999):.4e}"
        '6.987712e-04 1.7469e-07 1.3975e-04'

    Reference:
        Vaswani et al., Attention Is All You Need, 2017.
    """
    w = count("warmup", warmup, least=1)
    plan = warm_up(w) >> (w / (w + 1)) ** 0.5 * inverse_sqrt(w + 1)
    return plan if d_model is None else (count("d_model", d_model, least=1) * w) ** -0.5 * plan


def slanted_triangular(cut: Duration = "10%", ratio: float = 32.0) -> Schedule:
    """Return slanted triangles: a short rise in a line and a long decay in a line.

    ``piecewise([(0, 1 / ratio), (cut, 1)], "linear", cut) >> linear(floor=1 / ratio)``

    Args:
        cut: duration of the rise.
        ratio: peak ÷ the least rate; ≥ 1.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> slanted_triangular().resolve(1000)([0, 50, 100, 550]).tolist()
        [0.03125, 0.515625, 1.0, 0.515625]

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018.
    """
    if not positive("ratio", ratio) >= 1:
        raise InputError(f"ratio must be at least 1, not {ratio!r}.")
    rise = piecewise([(0, 1 / ratio), (period("cut", cut), 1)], shape="linear", duration=cut)
    return rise >> linear(floor=1 / ratio)


def _warmup(value: Duration) -> Duration:
    return AUTO if value == AUTO else duration("warmup", value)


RECIPES: dict[str, Callable[..., Schedule]] = {
    recipe.__name__: recipe
    for recipe in (
        wsd,
        one_cycle,
        one_cycle_momentum,
        sgdr,
        noam,
        slanted_triangular,
        linear_to_zero,
    )
}
"""What can be called in text besides the phases."""
