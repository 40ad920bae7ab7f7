"""The convention, pinned: "10 warm-up updates, 100 in all, peak 1" and its relatives, by hand."""

import math

import numpy as np
import pytest
import torch

from surefoot.schedules import (
    constant,
    cosine,
    cyclic,
    exponential,
    hold,
    inverse_time,
    linear,
    polynomial,
    schedule,
    step,
    warmup,
)

COS18 = math.cos(math.pi / 10)
LEVEL = (1 + math.cos(math.pi / 4)) / 2
FIRST_WARM, LAST_WARM, PEAK = (0, 0.1), (9, 1.0), (10, 1.0)

GOLDEN = {
    # warm-up: its last update is at the peak; decay: its first is; the last is one step short
    "warmup(10) >> cosine()": [
        FIRST_WARM, (4, 0.5), LAST_WARM, PEAK, (11, 0.9996954135095479), (55, 0.5),
        (99, 0.00030458649045211), (100, 0.0), (10**9, 0.0),
    ],
    "warmup(10) >> cosine(floor=0.1)": [
        FIRST_WARM, LAST_WARM, PEAK, (11, 0.9997258721585931), (99, 0.1002741278414069), (100, 0.1),
    ],
    "warmup(10) >> linear()": [FIRST_WARM, LAST_WARM, PEAK, (11, 89 / 90), (99, 1 / 90), (100, 0)],
    "warmup(10) >> hold() >> linear('20%')": [
        FIRST_WARM, LAST_WARM, PEAK, (79, 1.0), (80, 1.0), (81, 0.95), (99, 0.05), (100, 0.0),
    ],
    "warmup(10, start=0.1) >> hold()": [(0, 0.19), (4, 0.55), LAST_WARM, PEAK, (100, 1.0)],
    "polynomial(power=2)": [(0, 1.0), (50, 0.25), (90, 0.01), (100, 0.0)],
    "polynomial(power=0.5, floor=0.2)": [(0, 1.0), (75, 0.6), (100, 0.2), (500, 0.2)],
    "step(30, drop=0.1)": [(0, 1), (29, 1), (30, 0.1), (59, 0.1), (60, 0.01), (90, 0.001)],
    "exponential(floor=0.01)": [(0, 1.0), (50, 0.1), (100, 0.01), (200, 0.01)],
    "exponential(gamma=0.5, every=10)": [(0, 1.0), (10, 0.5), (15, 0.5**1.5), (100, 0.5**10)],
    "inverse_time(1, every=10)": [(0, 1.0), (10, 0.5), (30, 0.25), (90, 0.1)],
    "cyclic(20, low=0.1)": [(0, 0.1), (5, 0.55), (10, 1.0), (15, 0.55), (20, 0.1), (30, 1.0)],
    "0.5 * warmup(10) * step(50, drop=0.1)": [(0, 0.05), (9, 0.5), (49, 0.5), (50, 0.05)],
    "constant(0.3)": [(0, 0.3), (99, 0.3), (1000, 0.3)],
    "warmup(10, start=0.001, shape='exponential') >> hold()": [
        (0, 0.001**0.9), (4, 0.001**0.5), LAST_WARM, PEAK,
    ],
    "warmup(10, shape='cosine') >> hold()": [(0, (1 - COS18) / 2), (4, 0.5), LAST_WARM, PEAK],
    "warmup('auto') >> hold()": [FIRST_WARM, LAST_WARM, PEAK],
    "one_minus_sqrt()": [(0, 1.0), (25, 0.5), (64, 0.2), (100, 0.0)],
    "one_minus_sqrt(floor=0.5)": [(0, 1.0), (25, 0.75), (100, 0.5), (500, 0.5)],
    "tanh()": [(0, 1 / (1 + math.exp(-14))), (70, 0.5), (100, 1 / (1 + math.exp(6)))],
    "cosine(k=2)": [(0, 1.0), (50, 0.5 + math.sqrt(0.125)), (100, 0.0)],
    "cosine(power=2)": [(0, 1.0), (50, 0.25), (100, 0.0)],
    "polynomial(power=2, k=0.5)": [(0, 1.0), (25, 0.25), (100, 0.0)],
    "multi_step([30, '60%'], drop=0.1)": [(0, 1), (29, 1), (30, 0.1), (60, 0.01), (99, 0.01)],
    "piecewise([(0, 1), (30, 0.2), ('60%', 0.1)])": [(29, 1), (30, 0.2), (60, 0.1), (999, 0.1)],
    "piecewise([(0, 0), (20, 1), (100, 0.2)], 'linear')": [
        (0, 0), (10, 0.5), (20, 1.0), (60, 0.6), (100, 0.2), (101, 0.2),
    ],
    "piecewise([(0, 1), ('24.5 updates', 0)], 'linear')": [(0, 1), (24, 1 / 49), (25, 0)],
    "piecewise([(0, 0.5), (50, 1), (100, 0)], 'cosine')": [(0, 0.5), (25, 0.75), (75, 0.5)],
    "natural_exponential(0.5, every=10)": [(0, 1.0), (10, math.exp(-0.5)), (100, math.exp(-5))],
    "inverse_sqrt(10)": [(0, 1.0), (10, 0.5**0.5), (30, 0.5), (90, 0.1**0.5)],
    "power(-2, timescale=10)": [(0, 1.0), (10, 0.25), (90, 0.01)],
    "exponential_warmup(10)": [(0, 1 - math.exp(-0.1)), (9, 1 - math.exp(-1))],
    "cyclic(20, low=0.1, decay=0.5)": [(0, 0.1), (10, 1.0), (30, 0.55), (50, 0.325)],
    "cyclic(20, low=0, gamma=0.9)": [(10, 0.9**10), (30, 0.9**30)],
    "cyclic(20, low=0, rise=0.25)": [(0, 0), (5, 1.0), (20, 0), (25, 1), (15, 1 / 3)],
    "table([1, 0.5, 0.1], every=40)": [(0, 1), (39, 1), (40, 0.5), (80, 0.1), (10**6, 0.1)],
    "cosine(10).repeat()": [(0, 1.0), (5, 0.5), (10, 1.0), (95, 0.5), (100, 0.0), (500, 0.0)],
    "cosine(10).repeat(growth=2)": [(10, 1.0), (20, 0.5), (30, 1.0), (50, 0.5), (70, 1.0)],
    "cosine(10, floor=0.2).repeat(decay=0.5)": [(0, 1.0), (10, 0.6), (15, 0.4), (20, 0.4)],
    "cosine().repeat(3)": [(0, 1.0), (33, 0.000246719817), (34, 0.999013364214), (100, 0.0)],
    "cosine().repeat(4)": [(0, 1.0), (25, 1.0), (50, 1.0), (75, 1.0), (100, 0.0)],
    "linear(40).repeat(2) >> hold(20)": [(39, 0.025), (40, 1.0), (79, 0.025), (80, 1.0)],
    "linear().clip(0.3, 0.8)": [(0, 0.8), (19, 0.8), (50, 0.5), (70, 0.3), (99, 0.3), (999, 0.3)],
    "linear().staircase(25)": [(0, 1.0), (24, 1.0), (25, 0.75), (99, 0.25)],
    "cosine(200).branch(50, linear())": [
        (0, 1.0), (49, (1 + math.cos(math.pi * 49 / 200)) / 2), (50, LEVEL), (75, LEVEL / 2),
        (100, 0.0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", GOLDEN)
def test_golden_values(text):
    resolved = schedule(text).resolve(100)
    for update, expected in GOLDEN[text]:
        assert resolved(update) == pytest.approx(expected, abs=1e-12), update
        assert resolved([update])[0] == pytest.approx(expected, abs=1e-12), update


ZERO_OR_RISING = ("cyclic", "piecewise", "exponential_warmup", "staircase")


@pytest.mark.parametrize(
    "text", [text for text in GOLDEN if not any(kind in text for kind in ZERO_OR_RISING)]
)
def test_no_update_has_rate_zero_and_the_rate_never_rises_after_the_end(text):
    resolved = schedule(text).resolve(100)
    assert (resolved.values() > 0).all()
    after = resolved(np.arange(100, 300))
    assert (after == after[0]).all()
    assert after[0] <= resolved(99) + 1e-15


def stepped(make, updates):
    """Return the factors that torch's own scheduler gives to each update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


TORCH = torch.optim.lr_scheduler
PEERS = {
    "cosine": (cosine(90), lambda o: TORCH.CosineAnnealingLR(o, 90)),
    "cosine floor": (cosine(90, floor=0.1), lambda o: TORCH.CosineAnnealingLR(o, 90, eta_min=0.1)),
    "linear": (linear(90, floor=0.2), lambda o: TORCH.LinearLR(o, 1.0, 0.2, 90)),
    "polynomial": (polynomial(90, power=3), lambda o: TORCH.PolynomialLR(o, 90, 3)),
    "step": (step(20, drop=0.3, duration=90), lambda o: TORCH.StepLR(o, 20, 0.3)),
    "exponential": (
        exponential(90, gamma=0.97, every=1),
        lambda o: TORCH.ExponentialLR(o, 0.97),
    ),
    "inverse time": (
        inverse_time(0.1, every=1, duration=90),
        lambda o: TORCH.LambdaLR(o, lambda t: 1 / (1 + 0.1 * t)),
    ),
    "cyclic": (
        cyclic(20, low=0.1, duration=90),
        lambda o: TORCH.CyclicLR(o, 0.1, 1.0, step_size_up=10, cycle_momentum=False),
    ),
    "constant": (constant(1.0, 90), lambda o: TORCH.ConstantLR(o, 1.0, 90)),
}


@pytest.mark.parametrize("name", PEERS)
def test_each_decay_is_torchs_curve_update_for_update(name):
    ours, theirs = PEERS[name]
    assert ours.values() == pytest.approx(stepped(theirs, 90), abs=1e-12)


def test_warmup_is_torchtitans_and_not_torchs():
    # torchtitan and nanochat: (t + 1) / n; torch and most others: t / n, whose first update is lost
    assert warmup(10).values() == pytest.approx([(t + 1) / 10 for t in range(10)])
    left = stepped(lambda o: TORCH.LinearLR(o, 1e-8, 1.0, 10), 10)
    assert left[0] == pytest.approx(0, abs=1e-7)
    assert warmup(10).values()[:-1] == pytest.approx(left[1:], abs=1e-7)


def test_slanted_triangle_of_ulmfit():
    # Howard and Ruder 2018: T = 1000, cut 0.1, ratio 32, peak 0.01; shifted by one update, since
    # their warm-up is t / n and ours (t + 1) / n
    shape = (warmup(100, start=1 / 32) >> linear(900, floor=1 / 32)).resolve(1000)
    assert 0.01 * shape(49) == pytest.approx(5.15625e-3)
    assert 0.01 * shape(100) == pytest.approx(0.01)
    assert 0.01 * shape(550) == pytest.approx(5.15625e-3)


def test_triangular_cycle_of_smith_2017():
    # base 0.001, maximum 0.006, step size 2000: 0, 1000, 2000, 4000, 6000
    cycle = 0.006 * cyclic(4000, low=1 / 6).resolve(8000)
    expected = [0.001, 0.0035, 0.006, 0.001, 0.006]
    assert cycle([0, 1000, 2000, 4000, 6000]) == pytest.approx(expected, abs=1e-12)


def test_wsd_keeps_its_peak_until_the_decay():
    shape = (warmup("5%") >> hold() >> linear("20%")).resolve(1000)
    assert str(shape) == "warmup(50) >> hold(750) >> linear(200)"
    assert shape(49) == shape(799) == shape(800) == 1.0
    assert shape(801) == pytest.approx(1 - 1 / 200)


def test_cosine_is_half_way_in_the_middle_and_symmetric():
    values = cosine(1000)(np.arange(1001))
    assert values[500] == pytest.approx(0.5)
    assert values + values[::-1] == pytest.approx(np.ones(1001))
    assert values[250] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
