"""One schedule or more of every kind, each for a run of 40 updates."""

from surefoot.schedules import (
    constant,
    cosine,
    cyclic,
    exponential,
    exponential_warmup,
    function,
    hold,
    inverse_sqrt,
    inverse_time,
    linear,
    multi_step,
    natural_exponential,
    noam,
    one_cycle,
    one_cycle_momentum,
    one_minus_sqrt,
    piecewise,
    polynomial,
    power,
    radam_warmup,
    sgdr,
    slanted_triangular,
    step,
    table,
    tanh,
    warmup,
    wsd,
)

TOTAL = 40
POINTS = [(0, 0.2), ("24.5 updates", 1.5), (33, 0.1)]
WRITTEN = [
    warmup(5) >> cosine(floor=0.1),
    warmup(7, start=0.2, shape="cosine") >> hold() >> linear("20%"),
    warmup("10%", start=0.01, shape="exponential") >> constant(0.5),
    warmup("auto") >> polynomial(power=2, floor=0.05, k=1.5),
    cosine(power=2, k=0.8),
    step(7, drop=0.5),
    multi_step([5, "50%", "24.5 updates"], drop=0.3),
    exponential(floor=0.01),
    exponential(gamma=0.9, every=3),
    natural_exponential(0.3, every=2),
    inverse_time(0.2, every=4),
    inverse_sqrt(5),
    power(-0.3, 5),
    tanh(),
    one_minus_sqrt(floor=0.1),
    exponential_warmup(6),
    radam_warmup(0.95),
    cyclic(9, rise=0.3, decay=0.5, gamma=0.99),
    piecewise(POINTS),
    piecewise(POINTS, shape="linear"),
    piecewise(POINTS, shape="cosine"),
    table([1, 0.5, 0.7], every=11),
    table([0.25]),
    cosine(6).repeat(growth=1.5, decay=0.8),
    cosine().repeat(3),
    (25 * linear()).clip(0.1, 2.0),
    cosine().staircase(3),
    hold(40).branch(8, linear(12, floor=0.2)),
    0.3 * (warmup(5) * cosine(40)),
    wsd(),
    one_cycle(),
    one_cycle(three_phase=True),
    one_cycle_momentum(),
    sgdr(5, growth=2),
    noam(6, 512),
    slanted_triangular(),
]
PLANS = [plan.resolve(TOTAL) for plan in WRITTEN]


def halving(t):
    return 0.5 ** (t / 10)


FUNCTION = function(halving, duration=TOTAL)
