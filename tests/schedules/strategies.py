"""Schedules of every kind and nesting, for hypothesis."""

from hypothesis import strategies as st

from surefoot.schedules import (
    constant,
    cosine,
    cyclic,
    exponential,
    hold,
    inverse_time,
    linear,
    polynomial,
    step,
    warmup,
)

updates = st.integers(1, 60)
shares = st.floats(0.001, 0.3)
durations = (
    updates
    | shares
    | st.integers(1, 30).map("{}%".format)
    | st.sampled_from(["1 epoch", "2 epochs", "0.5 epochs", "64 samples", "1e3 tokens"])
)
floors = st.floats(0, 1)
positive = st.floats(0.01, 1)


def phases(lengths, *, openable=False):
    """Return a strategy for phases whose duration comes from ``lengths``."""
    return st.one_of(
        *([] if openable else [st.builds(warmup, lengths, start=floors)]),
        st.builds(hold, lengths),
        st.builds(constant, st.floats(0, 2), lengths),
        st.builds(linear, lengths, floor=floors),
        st.builds(polynomial, lengths, power=st.floats(0.1, 5), floor=floors),
        st.builds(cosine, lengths, floor=floors),
        st.builds(step, updates, drop=positive, duration=lengths),
        st.builds(exponential, lengths, floor=positive),
        st.builds(exponential, lengths, gamma=positive, every=updates),
        st.builds(inverse_time, st.floats(0, 3), every=updates, duration=lengths),
        st.builds(cyclic, st.integers(2, 40), low=floors, duration=lengths),
    )


def combine(children):
    return (
        st.tuples(children, children).map(lambda pair: pair[0] >> pair[1])
        | st.tuples(children, children).map(lambda pair: pair[0] * pair[1])
        | st.tuples(st.floats(0, 2), children).map(lambda pair: pair[0] * pair[1])
    )


closed = st.recursive(phases(updates), combine, max_leaves=6)
"""Schedules whose durations are whole updates."""

written = st.recursive(phases(durations), combine, max_leaves=4)
"""Schedules with durations in all units."""

CLOCK = {"updates_per_epoch": 10, "samples_per_update": 8, "tokens_per_update": 100}
