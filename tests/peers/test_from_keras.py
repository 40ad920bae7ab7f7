"""from_keras against the installed Keras, in float64 and as it comes, in float32."""

import itertools

import numpy as np
import pytest

from surefoot.errors import InputError
from surefoot.schedules import from_keras

pytestmark = pytest.mark.peers
keras = pytest.importorskip("keras")
library = keras.optimizers.schedules

CASES = [
    *(
        library.ExponentialDecay(0.3, n, rate, staircase=stairs)
        for n, rate in [(1, 0.9), (7, 0.5), (13, 1.0), (5, 0.0), (9, 1.3), (2.5, 0.8)]
        for stairs in (False, True)
    ),
    *(
        library.InverseTimeDecay(0.3, n, rate, staircase=stairs)
        for n, rate in [(1, 0.9), (7, 0.5), (13, 3.0), (5, 0.0), (2.5, 0.8)]
        for stairs in (False, True)
    ),
    library.PiecewiseConstantDecay([10], [0.3, 0.1]),
    library.PiecewiseConstantDecay([3, 10, 11, 60], [0.3, 0.1, 0.2, 0.0, 1.0]),
    *(
        library.PolynomialDecay(a, n, end_learning_rate=b, power=power, cycle=cycle)
        for a, b in [(0.3, 0.01), (0.0, 0.2), (0.5, 0.5), (0.3, 0.0)]
        for n, power in [(1, 1.0), (7, 0.5), (33, 1.0), (41, 2.3), (9, 0.0)]
        for cycle in (False, True)
    ),
    *(
        library.CosineDecay(a, n, alpha=alpha, warmup_target=target, warmup_steps=w)
        for a, alpha in [(0.3, 0.0), (0.0, 0.1), (0.2, 1.5)]
        for n in (1, 10, 37)
        for target, w in [(None, 0), (0.5, 13), (0.1, 1), (0.4, 0)]
    ),
]
RESTARTS = [
    library.CosineDecayRestarts(0.3, n, t_mul=growth, m_mul=decay, alpha=alpha)
    for n, growth, decay, alpha in itertools.product(
        (1, 7, 20), (1.0, 2.0, 1.5, 1.3), (1.0, 0.5, 1.2), (0.0, 0.1)
    )
]


@pytest.fixture
def in_float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def theirs(schedule, total=100):
    return np.asarray([float(schedule(np.int64(t))) for t in range(total)])


def name_of(schedule):
    settings = [str(value) for key, value in schedule.get_config().items() if key != "name"]
    return f"{type(schedule).__name__}-{'-'.join(settings)}"


@pytest.mark.parametrize("schedule", CASES, ids=name_of)
def test_every_value_is_that_of_keras(schedule, in_float64):
    np.testing.assert_allclose(
        from_keras(schedule, total=100).values(), theirs(schedule), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("schedule", CASES[::4], ids=name_of)
def test_the_float32_of_keras_is_off_by_its_rounding_only(schedule):
    np.testing.assert_allclose(
        from_keras(schedule, total=100).values(), theirs(schedule), rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize("schedule", RESTARTS, ids=name_of)
def test_restarts_are_those_of_keras_but_where_its_logarithm_misses_them(schedule, in_float64):
    config = schedule.get_config()
    ours, exact = from_keras(schedule, total=100).values(), theirs(schedule)
    starts = [0.0]
    while starts[-1] < 100:
        starts.append(
            starts[-1] + config["first_decay_steps"] * config["t_mul"] ** (len(starts) - 1)
        )
    missed = np.flatnonzero(abs(ours - exact) > 1e-12)
    assert {int(t) for t in missed} <= {round(start) for start in starts[1:]}
    assert len(missed) <= 4
    if config["t_mul"] == 1:
        assert len(missed) == 0


def test_what_has_an_end_and_what_has_none():
    assert from_keras(library.CosineDecay(0.3, 40)).total == 40
    assert from_keras(library.PolynomialDecay(0.3, 40)).total == 40
    for schedule in (
        library.ExponentialDecay(0.3, 7, 0.5),
        library.InverseTimeDecay(0.3, 7, 0.5),
        library.PiecewiseConstantDecay([10], [0.3, 0.1]),
        library.CosineDecayRestarts(0.3, 7),
    ):
        assert from_keras(schedule).is_open


def test_a_subclass_is_read_as_its_base_and_one_with_a_formula_of_its_own_is_not(in_float64):
    class Named(library.CosineDecay):
        pass

    class Halved(library.CosineDecay):
        def __call__(self, step):
            return super().__call__(step) / 2

    assert from_keras(Named(0.3, 40)) == from_keras(library.CosineDecay(0.3, 40))
    with pytest.raises(InputError, match="together with total, not Halved"):
        from_keras(Halved(0.3, 40))
    table = from_keras(Halved(0.3, 40), total=60)
    np.testing.assert_allclose(table.values(), theirs(Halved(0.3, 40), 60), rtol=1e-12)


def test_what_needs_the_total_says_so():
    for schedule in (
        library.PolynomialDecay(0.3, 40, cycle=True),
        library.ExponentialDecay(0.3, 7, 1.5),
        library.CosineDecayRestarts(0.3, 7, m_mul=1.5),
    ):
        with pytest.raises(InputError, match=r"total is needed for this .* of Keras"):
            from_keras(schedule)
    with pytest.raises(InputError, match=r"schedule must be one of Keras' .*, not float"):
        from_keras(0.1)
