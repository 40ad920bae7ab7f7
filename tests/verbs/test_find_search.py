"""The steps of a search, on a training whose loss is a formula."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot._engine.probe import ProbeRun
from surefoot._find.library import known
from surefoot._find.search import (
    EFFORTS,
    SPACING,
    TRUSTED,
    UP,
    Attempts,
    Start,
    best_training,
    recommended,
)


class Bowl:
    """Learns in proportion to rate × updates up to a floor that grows with the rate; see Probe."""

    pass_cost, reference_cost = 0.0, 0.0

    def __init__(self, steps, best, fails_at=math.inf, keeps=True):
        self.steps, self._best, self._fails_at, self._keeps = steps, best, fails_at, keeps
        self.kept, self.trained, self.made = {}, [], 0

    def updates_of(self, lr):
        return self.kept.get(lr, 0)

    def train(self, lrs, marks):
        lr, goes_on = max(lrs), len(set(lrs)) == 1
        had = self.kept.pop(lr, 0) if goes_on else 0
        assert had < marks[0]
        if lr >= self._fails_at:  # it stops there
            self.made += 1
            return ProbeRun(1, ((marks[0], math.inf),))
        judged = [(mark, self.loss(lr, mark)) for mark in marks]
        if goes_on and self._keeps:
            self.kept[lr] = marks[-1]
        self.trained.append((lr, had, marks[-1]))
        self.made += marks[-1] - had
        return ProbeRun(marks[-1] - had, tuple(judged))

    def loss(self, lr, updates):
        return math.exp(-2 * lr / self._best * updates / self.steps) + 0.1 * lr / self._best


def constant(lr, updates):
    return [lr] * updates


def decaying(lr, updates):
    return [lr * (1 - update / updates) for update in range(updates)]


def attempts(probe, guess=0.1, rates=constant, noise=0.0, lowest_at=0.0):
    kind = "constant" if rates is constant else "decaying"
    return Attempts(probe, rates, known(kind), Start(guess, 1.0, noise, lowest_at), lambda *_: None)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("rates", [constant, decaying])
@given(
    steps=st.integers(100, 3000),
    best=st.floats(-3.0, 1.0).map(lambda power: 0.1 * 10**power),
    edge=st.floats(0.1, 2.0),
    keeps=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_no_more_is_trained_than_the_effort_allows(effort, rates, steps, best, edge, keeps):
    probe = Bowl(steps, best, best * 10**edge, keeps)
    search = attempts(probe, rates=rates)
    search.run(EFFORTS[effort])
    assert probe.made <= EFFORTS[effort].most_trained(steps)
    share = {"quick": 0.375, "thorough": 2.875}[effort]
    assert EFFORTS[effort].most_trained(steps) <= share * steps + 4  # whole updates


def test_the_first_lie_around_the_expected_rate_a_little_higher():
    probe = Bowl(800, 0.3)
    attempts(probe).run(EFFORTS["quick"])
    (one, _, _), (other, _, _), *_ = probe.trained
    assert math.sqrt(one * other) == pytest.approx(0.1 * UP, rel=1e-3)
    assert other / one == pytest.approx(SPACING, rel=1e-3)


def test_thorough_ends_with_whole_trainings_that_went_on():
    probe = Bowl(800, 0.3)
    search = attempts(probe)
    search.run(EFFORTS["thorough"])
    whole = [each for each in search.all if each.updates == 800]
    assert len(whole) == 2
    assert any(had for _, had, _ in probe.trained)
    for each in search.all:  # what went on is told once, with all that it was judged by
        assert list(each.judged.steps) == sorted(set(each.judged.steps))
        assert each.updates == each.judged.steps[-1]
    assert len({each.lr for each in search.all}) == len(search.all)


def test_with_a_decaying_rate_no_training_goes_on():
    probe = Bowl(800, 0.3)
    attempts(probe, rates=decaying).run(EFFORTS["thorough"])
    assert [had for _, had, _ in probe.trained] == [0] * len(probe.trained)
    assert sorted(updates for _, _, updates in probe.trained) == [100, 100, 100, 400, 800, 800]


def test_where_nothing_learns_lower_rates_are_tried():
    probe = Bowl(800, 0.001, fails_at=0.005)
    search = attempts(probe)
    search.run(EFFORTS["quick"])
    assert min(each.lr for each in search.all) < 0.005
    assert math.isfinite(best_training(search.all).loss)


@pytest.mark.parametrize("best", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("effort", EFFORTS)
def test_the_answer_lies_near_the_best_training(best, effort):
    search = attempts(Bowl(800, best))
    search.run(EFFORTS[effort])
    lr = recommended(search.forecast(), search.all, usual=10.0)
    assert abs(math.log10(lr / best_training(search.all).lr)) <= TRUSTED
    if effort == "thorough":
        least = min(Bowl(800, best).loss(best * 10 ** (p / 50), 800) for p in range(-50, 50))
        assert Bowl(800, best).loss(lr, 800) < 1.1 * least


def test_the_usual_rate_is_taken_where_it_is_as_good_as_any():
    search = attempts(Bowl(800, 0.1))
    search.run(EFFORTS["thorough"])
    told = search.forecast()
    lr = recommended(told, search.all, usual=10.0)
    assert recommended(told, search.all, usual=lr * 1.05) == lr * 1.05
    assert recommended(told, search.all, usual=lr * 3) == lr  # too far away
    assert told.regret_at(lr) <= told.regret_at(lr * 1.05) < told.regret_at(1e3) == math.inf


class Flat(Bowl):
    """Learns nothing below a rate, and fails above another."""

    def __init__(self, learns_at, fails_at):
        super().__init__(800, 1.0)
        self._learns_at, self._edge = learns_at, fails_at

    def loss(self, lr, updates):
        if lr > self._edge:
            return 50.0
        return 0.5 if lr >= self._learns_at else 1.0 + lr  # a little worse the higher the rate


@pytest.mark.parametrize(
    ("fails_at", "lowest_at", "upwards"),
    [
        (math.inf, 10.0, True),  # none failed, and the range test fell most at a much higher rate
        (math.inf, 0.1, False),  # it fell most here
        (0.15, 10.0, False),  # the highest failed
    ],
)
def test_where_nothing_learns_it_is_said_by_the_range_test_whether_rates_are_too_low(
    fails_at, lowest_at, upwards
):
    probe = Flat(3.0, fails_at)
    search = attempts(probe, noise=0.5, lowest_at=lowest_at)
    search.run(EFFORTS["thorough"])
    tried = [each.lr for each in search.all]
    assert (max(tried) >= 3.0) == upwards
    assert (min(tried) < 0.05) == (not upwards)
    assert (search.forecast() is not None) == upwards
