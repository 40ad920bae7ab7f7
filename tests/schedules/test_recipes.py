"""Recipes are one line over the algebra, and say what is wrong with their arguments."""

import numpy as np
import pytest

from surefoot.errors import InputError
from surefoot.schedules import (
    cosine,
    from_dict,
    hold,
    inverse_sqrt,
    linear,
    linear_to_zero,
    noam,
    one_cycle,
    one_cycle_momentum,
    one_minus_sqrt,
    piecewise,
    schedule,
    sgdr,
    slanted_triangular,
    table,
    warmup,
    wsd,
)


@pytest.mark.parametrize(
    ("recipe", "expression"),
    [
        (linear_to_zero(10), warmup(10) >> linear()),
        (linear_to_zero("auto"), warmup("auto") >> linear()),
        (wsd(), warmup("5%") >> hold() >> linear("20%")),
        (wsd("auto", 50, "cosine", 0.1), warmup("auto") >> hold() >> cosine(50, floor=0.1)),
        (wsd(shape="one_minus_sqrt"), warmup("5%") >> hold() >> one_minus_sqrt("20%")),
        (one_cycle(), warmup(0.3, 0.04, "cosine") >> cosine(floor=4e-6)),
        (
            one_cycle(0.2, 0.5, 0.25, "linear", three_phase=True),
            warmup(0.2, 0.5) >> linear(0.2, floor=0.5) >> 0.5 * linear(floor=0.5),
        ),
        (one_cycle_momentum(0.4, 0.9), piecewise([(0, 1), (0.4, 0.9), ("100%", 1)], "cosine")),
        (
            one_cycle_momentum(20, 0.9, "linear", three_phase=True),
            piecewise([(0, 1), (20, 0.9)], "linear", 20)
            >> piecewise([(0, 0.9), (20, 1)], "linear"),
        ),
        (sgdr(10, 2, 0.5, 0.1), cosine(10, floor=0.1).repeat(growth=2, decay=0.5)),
        (noam(99), warmup(99) >> 0.99**0.5 * inverse_sqrt(100)),
        (
            slanted_triangular(20, 4),
            piecewise([(0, 0.25), (20, 1)], "linear", 20) >> linear(floor=0.25),
        ),
    ],
    ids=str,
)
def test_a_recipe_is_its_expression(recipe, expression):
    assert recipe == expression
    assert schedule(str(recipe)) == recipe
    assert from_dict(recipe.to_dict()) == recipe


def test_text_reads_recipes_by_name():
    assert schedule("wsd(100, decay='10%')") == wsd(100, decay="10%")
    assert schedule("one_cycle(three_phase=True)") == one_cycle(three_phase=True)
    assert schedule("0.5 * noam(40)") == 0.5 * noam(40)


def test_one_cycle_and_its_momentum_turn_together():
    rates = one_cycle().resolve(100).values()
    momentum = one_cycle_momentum().resolve(100).values()
    assert rates.argmax() == 29
    assert momentum.argmin() == 30
    assert momentum.min() == pytest.approx(0.85 / 0.95)
    assert rates[0] < 0.05
    assert rates[-1] < 0.001
    assert momentum[0] == 1


def test_three_phases_come_down_as_quickly_as_they_went_up():
    rates = one_cycle(20, 0.1, 0.001, "linear", three_phase=True).resolve(100).values()
    up, down = rates[:20], rates[20:40]
    assert np.diff(up) == pytest.approx(np.full(19, 0.045))
    assert np.diff(down) == pytest.approx(np.full(19, -0.045))
    assert rates[40] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.001 + 0.099 / 60)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wsd(shape="round"), "shape must be one of"),
        (lambda: wsd(warmup="soon"), "warmup must be"),
        (lambda: wsd(decay=None), "decay must be a number"),
        (lambda: wsd(floor=2), "floor must lie in"),
        (lambda: one_cycle(start=2), "start must lie in"),
        (lambda: one_cycle(end=-1), "end must lie in"),
        (lambda: one_cycle(shape="square"), "shape must be one of"),
        (lambda: one_cycle(start=0.1, end=0.2, three_phase=True), "end must lie in"),
        (lambda: one_cycle_momentum(rise=0), "rise must be at least 1"),
        (lambda: one_cycle_momentum(low=1.5), "low must lie in"),
        (lambda: sgdr(0), "first must be at least 1"),
        (lambda: noam(0), "warmup must be at least 1"),
        (lambda: noam(10, d_model=0), "d_model must be at least 1"),
        (lambda: slanted_triangular(ratio=0.5), "ratio must be at least 1"),
        (lambda: slanted_triangular(cut=0), "cut must be at least 1"),
        (lambda: piecewise("x"), "points must be pairs"),
        (lambda: table("x"), "factors must be a list"),
        (lambda: table(5), "factors must be a list"),
        (lambda: table([1, float("inf")]), "factors must be finite"),
        (lambda: hold(5).branch(10, linear()).resolve(10), "at must be before the end"),
        (
            lambda: from_dict({"type": "branch", "parts": [{"type": "hold"}], "at": 3}),
            "parts of branch must be 2 in number, not 1",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


def test_cycles_hardly_longer_than_the_one_before_are_bounded():
    plan = cosine(1).repeat(growth=1.000002)
    assert plan.resolve(1000)(999) > 0
    with pytest.raises(InputError, match="growth must be 1, or larger than"):
        plan.resolve(10_000_000)(0)


def test_a_repetition_in_a_sequence_keeps_its_first_length():
    plan = (warmup("10%") >> cosine(10).repeat(3, growth=1.5) >> hold()).resolve(105)
    assert str(plan) == "warmup(11) >> cosine(10).repeat(3, growth=1.5, duration=47) >> hold(47)"
    assert plan([11, 21, 36, 57, 58]).round(3).tolist() == [1, 1, 1, 0.011, 1]


def test_a_first_cycle_of_another_length_stretches_the_part():
    part = warmup(5) >> cosine(25)
    plan = part.repeat(2, first=60)
    assert plan.resolve(120) == plan
    for update in range(60):
        assert plan(update) == plan(update + 60) == pytest.approx(part(update / 2), abs=1e-12)
