"""Schedules of every kind and nesting, for hypothesis."""

from hypothesis import strategies as st

from surefoot.schedules import (
    constant,
    cosine,
    cyclic,
    exponential,
    exponential_warmup,
    hold,
    inverse_sqrt,
    inverse_time,
    linear,
    multi_step,
    natural_exponential,
    one_minus_sqrt,
    piecewise,
    polynomial,
    power,
    radam_warmup,
    step,
    table,
    tanh,
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


shapes = st.sampled_from(["constant", "linear", "cosine"])
whens = st.lists(st.integers(1, 80), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def points(draw):
    """Return points of a piecewise curve; some times lie between updates."""
    later = [when if when % 3 else f"{when}.5 updates" for when in draw(whens)]
    return [(when, draw(st.floats(0, 2))) for when in (0, *later)]


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
        st.builds(
            cyclic, st.integers(2, 40), low=floors, duration=lengths, rise=floors, decay=positive,
            gamma=st.floats(0.9, 1),
        ),
        st.builds(cosine, lengths, floor=floors, power=st.floats(0.5, 3), k=st.floats(0.5, 3)),
        st.builds(polynomial, lengths, floor=floors, k=st.floats(0.5, 3)),
        st.builds(one_minus_sqrt, lengths, floor=floors),
        st.builds(tanh, lengths, floor=floors),
        st.builds(exponential_warmup, updates, duration=lengths),
        st.builds(radam_warmup, st.floats(0.9, 0.999), duration=lengths),
        st.builds(natural_exponential, st.floats(0, 2), every=updates, duration=lengths),
        st.builds(inverse_sqrt, updates, duration=lengths),
        st.builds(power, st.floats(-2, 0), updates, duration=lengths),
        st.builds(multi_step, whens, drop=positive, duration=lengths),
        st.builds(piecewise, points(), shape=shapes, duration=lengths),
        st.builds(table, st.lists(st.floats(0, 2), min_size=1, max_size=9), updates, lengths),
    )  # fmt: skip


def combine(children):
    return (
        st.tuples(children, children).map(lambda pair: pair[0] >> pair[1])
        | st.tuples(children, children).map(lambda pair: pair[0] * pair[1])
        | st.tuples(st.floats(0, 2), children).map(lambda pair: pair[0] * pair[1])
        | st.builds(
            lambda part, times, growth, decay: part.repeat(times, growth, decay),
            children, st.integers(1, 4), st.sampled_from([1, 1.25, 2, 3]), positive,
        )
        | st.builds(
            lambda part, times, first: part.repeat(times, first=first),
            children, st.integers(1, 4), updates | st.sampled_from(["20/3 updates", "4.5 updates"]),
        )
        | st.builds(lambda part, length: part.repeat(growth=2, duration=length), children, updates)
        | st.builds(lambda part, low, more: part.clip(low, low + more), children, floors, floors)
        | st.builds(lambda part, every: part.staircase(every), children, updates)
        | st.builds(lambda part, at, tail: part.branch(at, tail), children, updates, children)
    )  # fmt: skip


closed = st.recursive(phases(updates), combine, max_leaves=6)
"""Schedules whose durations are whole updates."""

written = st.recursive(phases(durations), combine, max_leaves=4)
"""Schedules with durations in all units."""

CLOCK = {"updates_per_epoch": 10, "samples_per_update": 8, "tokens_per_update": 100}
