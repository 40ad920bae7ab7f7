"""How often an update may be measured, so that watching stays below a share of the time."""

from time import perf_counter

__all__ = ["Budget"]

FIRST = 10
"""Updates between two measurements until it is known what one costs."""

MOST = 100
"""Updates after which one is measured whatever it costs."""

LONG = 5.0
"""What an update takes beyond so many usual ones is a pause: it earns nothing."""

NEW = 0.1
"""What the newest counts in the running means."""


class Budget:
    """Keeps account of what watching takes and what training takes, and tells what is due.

    Args:
        share: of the time of training that watching may take.
        every: measure at every so many updates instead, whatever that costs.
        least: updates between two measurements, ≥ 2.
    """

    def __init__(self, share: float, every: int | None, *, least: int = 2) -> None:
        self._share = share
        self._every = every
        self._least = least
        self._spent = self._trained = 0.0  # seconds so far
        self._credit = 0.0  # seconds that may be spent now
        self._now = 0.0  # seconds spent since the last update ended
        self._ended: float | None = None
        self._usual: float | None = None  # seconds of an update
        self._costs: list[float] = []  # seconds of each of the last measurements
        self._since = 0  # updates since the last one began

    @property
    def overhead(self) -> float:
        """Seconds spent over seconds of training without them; NaN before the second update."""
        return self._spent / self._trained if self._trained > 0 else float("nan")

    def due(self, number: int) -> bool:
        """Return whether the update of this number is to be measured."""
        if self._every is not None:
            return number % self._every == 0
        if len(self._costs) < 3:
            return not self._costs or self._since >= FIRST
        if self._since < self._least:
            return False
        return self._since >= MOST or self._credit >= self._cost

    def begin(self) -> None:
        """Note that a measurement begins."""
        self._costs = [*self._costs[-4:], 0.0]
        self._since = 0

    def spend(self, seconds: float, *, measuring: bool = False) -> None:
        """Note time that watching took, and whether for the measurement under way."""
        self._now += seconds
        if measuring and self._costs:
            self._costs[-1] += seconds

    def passed(self) -> float | None:
        """End an update; return its seconds without those of watching, None for the first."""
        now, began = perf_counter(), self._ended
        spent, self._now = self._now, 0.0
        self._ended = now
        self._since += 1
        if began is None:
            return None
        seconds = max(now - began - spent, 0.0)
        earned = seconds if self._usual is None else min(seconds, LONG * self._usual)
        self._usual = earned if self._usual is None else self._usual + NEW * (earned - self._usual)
        self._spent += spent
        self._trained += seconds
        room = 2 * self._cost
        self._credit = min(max(self._credit + self._share * earned - spent, -10 * room), room)
        return seconds

    @property
    def _cost(self) -> float:
        """Seconds of a usual measurement: the first ones hold what happens once."""
        return sorted(self._costs)[(len(self._costs) - 1) // 2] if self._costs else 0.0
