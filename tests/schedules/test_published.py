"""Values that papers and well-known code print, to 1e-9 of what their formulas give."""

from decimal import Decimal, getcontext

import pytest

from surefoot.schedules import (
    cosine,
    cyclic,
    noam,
    one_minus_sqrt,
    radam_warmup,
    sgdr,
    slanted_triangular,
    warmup,
    wsd,
)

getcontext().prec = 50


def test_noam():
    base = noam(4000, d_model=512).resolve(200_000)
    assert base(3999) == pytest.approx(512**-0.5 * 4000**-0.5, rel=1e-12)
    assert base(3999) == pytest.approx(6.987712e-4, abs=5e-11)
    assert base(0) == pytest.approx(1.7469e-7, abs=5e-12)
    assert base(99_999) == pytest.approx(1.3975e-4, abs=5e-9)
    for step in (1, 17, 4000, 4001, 12_345, 200_000):
        published = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert base(step - 1) == pytest.approx(published, rel=1e-12)
    big = noam(4000, d_model=1024).resolve(4000)
    assert big(3999) == pytest.approx(4.9411e-4, abs=5e-9)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, {0: 0.001, 1000: 0.0035, 2000: 0.006, 4000: 0.001, 6000: 0.006}),
        ({"decay": 0.5}, {2000: 0.006, 6000: 0.0035, 10_000: 0.00225}),
        (
            {"gamma": 0.99994},
            {2000: 0.001 + 0.005 * 0.99994**2000, 6000: 0.001 + 0.005 * 0.99994**6000},
        ),
    ],
    ids=["triangular", "triangular2", "exp_range"],
)
def test_cyclical_learning_rates(extra, expected):
    rates = (0.006 * cyclic(4000, low=1 / 6, **extra)).resolve(20_000)
    for update, rate in expected.items():
        assert rates(update) == pytest.approx(rate, abs=1e-9)
    if "gamma" in extra:
        assert [round(rates(t), 6) for t in (2000, 6000)] == [0.005435, 0.004488]


def test_sgdr_restarts_at_10_30_and_70():
    rates = (0.05 * sgdr(10, growth=2)).resolve(150)
    for start, length in ((0, 10), (10, 20), (30, 40), (70, 80)):
        assert rates(start) == pytest.approx(0.05, abs=1e-15)
        assert rates(start + length // 2) == pytest.approx(0.025, abs=1e-9)
        assert rates(start + length - 1) < 0.002


@pytest.mark.parametrize(("first", "growth"), [(3, 3), (7, 10), (10, 1), (10, 1.1), (100, 1.5)])
def test_restarts_are_exact_however_far(first, growth):
    """The logarithm that other libraries take is off by one cycle at 363 and at 777."""
    from fractions import Fraction

    plan = cosine(first).repeat(growth=growth).resolve(100_000)
    start, length = Fraction(0), Fraction(first)
    while start < 100_000:
        if start.denominator == 1:
            assert plan(int(start)) == plan([int(start)])[0] == 1.0, start
        elif start + 1 < 100_000:
            assert plan(int(start) + 1) > 0.9, start
        start, length = start + length, length * Fraction(repr(growth))


def test_slanted_triangular():
    rates = (0.01 * slanted_triangular()).resolve(1000)
    expected = {0: 3.125e-4, 50: 5.15625e-3, 100: 0.01, 550: 5.15625e-3, 1000: 3.125e-4}
    for update, rate in expected.items():
        assert rates(update) == pytest.approx(rate, abs=1e-9)


def test_one_minus_sqrt_cool_down():
    tail = one_minus_sqrt(20)
    published = {0: 1, 5: 0.5, 10: 1 - 0.5**0.5, 15: 1 - 0.75**0.5, 20: 0}
    for update, factor in published.items():
        assert tail(update) == pytest.approx(factor, abs=1e-9)
    plan = wsd(10, decay=20, shape="one_minus_sqrt").resolve(100)
    assert [plan(t) for t in (9, 50, 80)] == [1.0, 1.0, 1.0]
    assert plan(85) == pytest.approx(0.5)


def test_radam():
    factor = radam_warmup(0.999, duration=2000)
    for t, printed in ((10, 0.0490), (100, 0.2153), (1000, 0.6453)):
        assert factor(t - 5) == pytest.approx(printed, abs=5e-5)
    # "effective warm-up": sum of 1 − w, from t = 1 with w = 0 where the variance is unknown
    whole = radam_warmup(0.999, duration=100_000)
    assert 4 + 100_000 - whole.area() == pytest.approx(1033.3, abs=0.05)


@pytest.mark.parametrize("beta2", [0.8, 0.95, 0.999, 0.9999, 0.999999])
def test_radam_to_the_last_digits(beta2):
    """Against the published formula with fifty digits, where its differences lose none."""
    b = Decimal(beta2)
    limit = 2 / (1 - b) - 1
    plan = radam_warmup(beta2, duration=10**6)
    times = [t for t in (5, 7, 20, 95, 500, 5000, 90_000) if t < 1000 / (1 - beta2)]
    for t in times:
        rho = limit - 2 * t * b**t / (1 - b**t)
        square = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        assert plan(t - 5) == pytest.approx(float(square.sqrt()), rel=1e-12)


@pytest.mark.parametrize(
    ("beta2", "updates"), [(0.9, 20), (0.95, 40), (0.98, 100), (0.99, 200), (0.999, 2000)]
)
def test_the_automatic_warm_up_is_the_untuned_one_but_at_most_a_tenth(beta2, updates):
    plan = warmup("auto") >> cosine()
    assert plan.resolve(1_000_000, beta2=beta2).parts[0] == warmup(updates)
    assert plan.resolve(100, beta2=beta2).parts[0] == warmup(10)
    assert plan.resolve(100, beta2=None).parts[0] == warmup(10)
