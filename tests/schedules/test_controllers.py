"""What holds for every controller: pure, ready for JSON, within its bounds, clear in its errors."""

import copy
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import InputError
from surefoot.schedules import (
    Controller,
    controller_from_dict,
    gradient_dependent,
    plateau,
    warmup,
)

plateaus = st.builds(
    plateau,
    factor=st.floats(0.05, 0.95),
    patience=st.integers(1, 6),
    threshold=st.sampled_from([0.0, 1e-3, 0.5]),
    relative=st.booleans(),
    mode=st.sampled_from(["min", "max"]),
    smoothing=st.sampled_from([0.0, 0.5, 0.9]),
    cooldown=st.integers(0, 3),
    low=st.floats(1e-6, 1),
    high=st.floats(1, 10),
    raise_after=st.none() | st.integers(0, 4),
    on_nan=st.sampled_from(["ignore", "bad", "lower"]),
)
by_gradient = st.builds(
    gradient_dependent,
    power=st.floats(0.01, 20),
    memory=st.integers(2, 50),
    low=st.floats(1e-9, 1),
    high=st.floats(1, 1e9),
    on_nan=st.sampled_from(["ignore", "lower"]),
)
controllers = plateaus | by_gradient
usual = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3).map(float)
numbers = usual | st.sampled_from([float("nan"), float("inf"), float("-inf")])


def observations(control, values):
    """Return what the controller may observe: norms are never negative."""
    size = float if control.needs == "metric" else abs
    return [{control.needs: size(value)} for value in values]


def fold(control, seen, state=None):
    """Return the last state and all factors."""
    state = control.start() if state is None else state
    factors = []
    for observation in seen:
        state, factor = control.update(state, observation)
        factors.append(factor)
    return state, factors


@given(controllers, st.lists(numbers, max_size=40))
def test_an_update_changes_neither_the_state_nor_the_observation(control, values):
    state = control.start()
    for observation in observations(control, values):
        before = copy.deepcopy((state, observation))
        first = control.update(state, observation)
        again = control.update(state, observation)
        assert repr((state, observation)) == repr(before)
        assert first == again
        state = first[0]


@given(controllers, st.lists(numbers, max_size=40), st.integers(0, 40))
def test_a_run_goes_on_the_same_from_a_state_that_went_through_json(control, values, cut):
    seen = observations(control, values)
    whole, factors = fold(control, seen)
    state, earlier = fold(control, seen[:cut])
    restored = json.loads(json.dumps(state, allow_nan=False))
    assert restored == state
    assert fold(control, seen[cut:], restored) == (whole, factors[len(earlier) :])


@given(controllers, st.lists(numbers, max_size=60))
def test_the_factor_stays_within_its_bounds_and_is_in_the_state(control, values):
    state = control.start()
    assert state["factor"] == 1
    for observation in observations(control, values):
        state, factor = control.update(state, observation)
        assert control.low <= factor <= control.high
        assert state["factor"] == factor


@given(controllers)
def test_a_controller_is_read_back_from_json(control):
    document = json.loads(json.dumps(control.to_dict(), allow_nan=False))
    assert document["type"] == control.name
    assert controller_from_dict(document) == control


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "A controller is a JSON object"),
        ({"surefoot": "Schedule"}, "holds a Schedule, not a Controller"),
        ({"format": 99}, "update Surefoot"),
        ({}, "type must be one of gradient_dependent, plateau"),
        ({"type": ["plateau"]}, "type must be one of"),
        ({"type": "plateau", "patients": 3}, "plateau has no field 'patients'; it has factor"),
        ({"type": "plateau", "patience": 0}, "patience must be at least 1"),
    ],
)
def test_other_documents_are_refused(document, words):
    with pytest.raises(InputError) as error:
        controller_from_dict(document)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: plateau(factor=1), "factor must lie in (0, 1), not 1; 0.1 divides the rate by"),
        (lambda: plateau(factor=0), "factor must lie in (0, 1)"),
        (lambda: plateau(patience=0), "patience must be at least 1"),
        (lambda: plateau(patience=2.5), "patience must be a whole number"),
        (lambda: plateau(threshold=-1), "threshold must be at least 0"),
        (lambda: plateau(threshold=1), "threshold must be below 1 as a share of the best, not 1"),
        (lambda: plateau(relative="yes"), "relative must be True or False"),
        (lambda: plateau(mode="least"), "mode must be one of 'min', 'max'"),
        (lambda: plateau(smoothing=1), "smoothing must lie in [0, 1)"),
        (lambda: plateau(smoothing=2), "smoothing must lie in [0, 1]"),
        (lambda: plateau(cooldown=-1), "cooldown must be at least 0"),
        (lambda: plateau(low=0), "low must lie in (0, 1]"),
        (lambda: plateau(low=2), "low must lie in (0, 1]"),
        (lambda: plateau(high=0.5), "high must be at least 1"),
        (lambda: plateau(high=float("inf")), "high must be finite"),
        (lambda: plateau(raise_after=-1), "raise_after must be at least 0"),
        (lambda: plateau(on_nan="stop"), "on_nan must be one of"),
        (lambda: gradient_dependent(power=0), "power must be greater than 0"),
        (lambda: gradient_dependent(memory=1), "memory must be at least 2"),
        (lambda: gradient_dependent(low=0), "low must lie in (0, 1]"),
        (lambda: gradient_dependent(high=0), "high must be at least 1"),
        (lambda: gradient_dependent(on_nan="bad"), "on_nan must be one of"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("control", "observation", "words"),
    [
        (plateau(), {}, "plateau needs metric: pass it as step(metric=…) or observe(metric=…)"),
        (plateau(), {"grad_norm": 1.0}, "plateau needs metric"),
        (gradient_dependent(), {"metric": 1.0}, "step(grad_norm=…) or observe(grad_norm=…)"),
        (plateau(), {"metric": None}, "metric must be a number, not None"),
        (plateau(), {"metric": float("nan")}, "metric must be finite, not nan"),
        (plateau(), {"metric": float("inf")}, 'on_nan="ignore", "bad" or "lower"'),
        (gradient_dependent(), {"grad_norm": -1.0}, "grad_norm must be at least 0, not -1"),
        (gradient_dependent(), {"grad_norm": float("nan")}, 'on_nan="ignore" or "lower"'),
    ],
)
def test_an_observation_that_cannot_be_used_is_an_error_that_says_what_to_pass(
    control, observation, words
):
    with pytest.raises(InputError) as error:
        control.update(control.start(), observation)
    assert words in str(error.value)


def test_a_controller_takes_no_part_in_the_algebra_of_schedules():
    with pytest.raises(TypeError):
        warmup(3) >> plateau()


def test_a_user_can_write_a_controller_that_is_read_back():
    class Loud(Controller):
        name = "loud"
        needs = "metric"

        def update(self, state, observation):
            factor = 1 / (1 + self.observed(observation))
            return {"factor": factor}, factor

    assert Loud().update(Loud().start(), {"metric": 3}) == ({"factor": 0.25}, 0.25)
    assert "metric" in Loud().describe()


class Same(Controller):
    """A controller that does nothing."""

    name = "same"
    needs = "metric"

    def update(self, state, observation):
        return state, state["factor"]


def test_a_name_that_is_taken_is_refused_and_stays_with_the_first():
    with pytest.raises(InputError, match=r"name 'plateau' of .*Mine is taken by surefoot"):

        class Mine(Same):
            name = "plateau"

    assert controller_from_dict({"type": "plateau"}) == plateau()


def test_the_same_class_made_again_replaces_itself():
    for factor in (1.0, 2.0):

        class Again(Same):
            name = "again"

        Again.start = lambda self, factor=factor: {"factor": factor}
    again = dataclasses.dataclass(frozen=True, slots=True)(Again)()
    assert controller_from_dict(again.to_dict()).start() == {"factor": 2.0}


def test_a_controller_that_can_be_used_needs_a_name_of_its_own():
    with pytest.raises(InputError, match="Heir needs a name of its own, not 'same'"):

        class Heir(Same):
            """What it writes would be read back as its parent."""

    with pytest.raises(InputError, match="Nameless needs a name of its own, not None"):

        class Nameless(Controller):
            def update(self, state, observation):
                return state, state["factor"]

    class Base(Controller):
        """A base for more of them."""

    class Named(Base):
        name = "named"
        needs = "metric"
        update = Same.update

    assert Named().update(Named().start(), {}) == ({"factor": 1.0}, 1.0)
