"""Every noun is frozen, goes to JSON and back, and says null where a number is not finite."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot._base.codec import Record, dump_json, plain
from surefoot.errors import InputError
from surefoot.records import (
    Attempt,
    Basin,
    Cost,
    Curve,
    Diagnosis,
    Finding,
    Member,
    Point,
    Remedy,
    Sensitivity,
    Verdict,
)

numbers = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=20)
counts = st.integers(0, 10**9)
curves = st.lists(st.tuples(finite, numbers), max_size=6).map(
    lambda pairs: Curve([p[0] for p in pairs], [p[1] for p in pairs])
)
costs = st.builds(Cost, counts, numbers, numbers)
members = st.builds(Member, numbers, counts, numbers, st.booleans(), curves)
points = st.builds(Point, numbers, numbers, numbers, numbers, counts, counts)
verdicts = st.builds(
    Verdict, words, words, st.sampled_from(["error", "warning"]), st.booleans(),
    st.sampled_from(["lower", "raise", "none"]), numbers, numbers, numbers, st.none() | counts,
    numbers, st.dictionaries(words, numbers, max_size=3),
    st.builds(Remedy, st.sampled_from(["lower_lr", "raise_lr", "none"]), numbers, words),
)  # fmt: skip
nouns = st.one_of(
    costs,
    curves,
    st.builds(
        Finding, numbers, numbers, numbers, st.sampled_from(["measured", "default"]), words, costs,
        st.none() | finite, words, curves,
        st.lists(st.builds(Attempt, numbers, counts, numbers), max_size=3).map(tuple), numbers,
        words,
    ),
    st.builds(
        Sensitivity, st.lists(points, max_size=3).map(tuple), points,
        st.builds(Basin, numbers, numbers, numbers, st.booleans(), st.booleans()),
        st.none() | finite, numbers, words, words, costs,
        st.lists(members, max_size=2).map(tuple),
        counts, words,
    ),
    st.builds(
        Diagnosis, words, st.lists(verdicts, max_size=2).map(tuple), numbers, numbers, numbers,
        words, st.booleans(), words, curves,
    ),
)  # fmt: skip


@given(nouns)
def test_json_round_trip(noun):
    document = noun.to_json()
    again = type(noun).from_json(document)
    assert again.to_json() == document
    assert "NaN" not in json.dumps(json.loads(document, parse_constant=pytest.fail))


@given(nouns)
def test_nouns_are_frozen(noun):
    name = dataclasses.fields(noun)[0].name
    with pytest.raises(AttributeError):
        setattr(noun, name, None)


def test_what_is_not_finite_becomes_null_and_null_becomes_nan():
    cost = Cost(1, math.inf, math.nan)
    assert json.loads(cost.to_json())["seconds"] is None
    assert math.isnan(Cost.from_json(cost.to_json()).seconds)
    assert plain({"a": np.array([1.0, np.nan]), "b": np.float32(2)}) == {"a": [1.0, None], "b": 2.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "no JSON"),
        ("[1]", "JSON object"),
        ('{"surefoot": "Curve"}', "holds a Curve, not a Cost"),
        ('{"surefoot": "Cost", "format": 9}', "format 9"),
        ('{"updates": 1, "seconds": 2}', "lacks the field 'trainings'"),
        ('{"updates": "x", "seconds": 2, "trainings": 1}', "Cost.updates must be a int"),
        ('{"updates": true, "seconds": 2, "trainings": 1}', "Cost.updates"),
        ('{"updates": 1, "seconds": "x", "trainings": 1}', "Cost.seconds must be a number"),
    ],
)
def test_json_of_another_kind_is_refused(text, expected):
    with pytest.raises(InputError) as error:
        Cost.from_json(text)
    assert expected in str(error.value)


def test_nested_fields_are_checked_too():
    document = '{"points": 3}'
    with pytest.raises(InputError, match=r"Sensitivity\.points must be a list"):
        Sensitivity.from_json(document)
    with pytest.raises(InputError, match="needs the fields"):
        Curve.from_json("{}")


def test_things_that_are_no_json_are_refused():
    with pytest.raises(InputError, match="cannot be written as JSON"):
        dump_json({"a": object()})


def test_a_noun_knows_itself():
    @dataclasses.dataclass(frozen=True)
    class Pair(Record):
        cost: Cost
        names: dict[str, int]

    pair = Pair(Cost(1, 2.0, 3.0), {"a": 1})
    assert Pair.from_json(pair.to_json()) == pair


class TestCurve:
    def test_it_unpacks_and_measures(self):
        steps, values = curve = Curve([0, 1], [2, math.inf])
        assert steps.tolist() == [0, 1]
        assert values[0] == 2
        assert len(curve) == 2
        assert len(curve.finite()) == 1
        assert repr(curve) == "Curve(2 points)"
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 3

    def test_it_compares_by_content(self):
        assert Curve([0], [math.nan]) == Curve([0], [math.nan])
        assert hash(Curve([0], [1])) == hash(Curve([0], [1]))
        assert Curve([0], [1]) != Curve([0], [2])
        assert Curve([0], [1]) != "curve"

    @pytest.mark.parametrize(("steps", "values"), [([0, 1], [1]), ([[0]], [1]), ([0], 3)])
    def test_it_has_one_dimension_and_as_many_steps_as_values(self, steps, values):
        with pytest.raises(InputError):
            Curve(steps, values)

    @given(st.lists(numbers, min_size=1, max_size=400), st.integers(4, 50))
    def test_thinning_keeps_the_ends_the_extremes_and_what_is_not_finite(self, values, points):
        curve = Curve(range(len(values)), values)
        thin = curve.thin(points)
        assert len(thin) <= max(points * 3 // 2 + 3, 4) or len(thin) == len(curve)
        assert thin.steps[0] == 0
        assert thin.steps[-1] == len(values) - 1
        whole, kept = curve.finite().values, thin.finite().values
        if len(whole):
            assert (whole.min(), whole.max()) == (kept.min(), kept.max())
        assert np.isfinite(curve.values).all() == np.isfinite(thin.values).all()


def a_verdict(**changes):
    verdict = Verdict(
        "LR203", "learning rate too low", "warning", True, "raise", 10.0, 3.0, 30.0, 0, 0.8, {},
        Remedy("raise_lr", 10.0, "Raise it."),
    )  # fmt: skip
    return dataclasses.replace(verdict, **changes)


def test_a_diagnosis_is_its_verdicts():
    ill, well = Diagnosis("a", (a_verdict(),), 1.0), Diagnosis("b", ())
    assert [verdict.code for verdict in ill] == ["LR203"]
    assert (len(ill), ill.healthy, ill.label) == (1, False, "learning rate too low")
    assert (len(well), well.healthy, well.label, bool(well)) == (0, True, "healthy", True)
    assert ill.lr_over_best == 10.0
    assert math.isnan(well.lr_over_best)
    assert "LR203" in str(ill)
    assert str(well) == "b: healthy"
    assert json.loads(well.to_json())["healthy"] is True
    assert "since update 7" in str(a_verdict(since=7))
    assert "since" not in str(a_verdict(since=None))


def test_the_others_say_themselves_in_a_line():
    cost = Cost(150, 0.8, 0.5)
    finding = Finding(0.1, 0.03, 0.3, "measured", "It was best.", cost)
    assert "0.1" in str(finding)
    assert "It was best." in str(finding)
    assert str(Cost(150, 0.8, math.nan)) == "150 updates, 0.8 s"
    assert Basin(0.01, 1.0, 0.1).decades == pytest.approx(2)
    point = Point(0.1, 1.0, 0.9, 1.1, 3, 0)
    curve = Sensitivity((point,), point, Basin(0.1, 0.1, 0.1), None, 2.3, "loss", "One.", cost)
    assert curve.table().to_csv().splitlines()[1] == "0.1,1.0,0.9,1.1,3,0,0"
    assert str(curve) == "One."
