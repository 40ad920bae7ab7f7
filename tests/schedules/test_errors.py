"""Bad arguments, texts and documents: refused, with the place and what is allowed."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import InputError, ScheduleTextError
from surefoot.schedules import (
    constant,
    cosine,
    cyclic,
    exponential,
    from_dict,
    from_json,
    hold,
    inverse_time,
    linear,
    multi_step,
    polynomial,
    schedule,
    step,
    warmup,
)
from surefoot.schedules._algebra import Product, Sequence


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: warmup(-1), "duration must be at least 0"),
        (lambda: warmup(1.5), "duration must lie in (0, 1)"),
        (lambda: warmup(float("nan")), "duration must be finite"),
        (lambda: warmup("3 weeks"), "3 weeks"),
        (lambda: warmup("200%"), "100%"),
        (lambda: warmup(True), "duration"),
        (lambda: warmup(None), "duration"),
        (lambda: warmup(10**40), "at most"),
        (lambda: warmup(10**400), "duration is too large"),
        (lambda: constant(10**400), "factor must be one number"),
        (lambda: 1e308 * (1e308 * cosine()), "factor must be finite"),
        (lambda: warmup("1e300 epochs").stretch(1e300), "too large"),
        (lambda: warmup(5, start=2), "start must lie in [0, 1]"),
        (lambda: cosine(floor=-0.1), "floor must lie in [0, 1]"),
        (lambda: cosine(floor=float("nan")), "floor must be finite"),
        (lambda: linear(floor="x"), "floor must be a number"),
        (lambda: polynomial(power=0), "power must be greater than 0"),
        (lambda: step(0), "every"),
        (lambda: step(5, drop=0), "drop must lie in (0, 1]"),
        (lambda: step(5, drop=1.5), "drop must lie in (0, 1]"),
        (lambda: exponential(), "floor"),
        (lambda: exponential(floor=0.1, gamma=0.5), "floor"),
        (lambda: exponential(floor=0), "floor"),
        (lambda: inverse_time(-1), "rate"),
        (lambda: cyclic(0), "period"),
        (lambda: cyclic(10, low=3), "low"),
        (lambda: constant(-1), "factor must be at least 0"),
        (lambda: constant(float("inf")), "factor must be finite"),
        (lambda: -1 * cosine(), "factor must be at least 0"),
        (lambda: cosine().stretch(0), "k must be greater than 0"),
        (lambda: hold() >> linear(), "fill what remains"),
        (lambda: cosine().resolve(0), "total must be at least 1"),
        (lambda: warmup("2 epochs").resolve(10), "updates_per_epoch"),
        (lambda: warmup("2 samples").resolve(10), "samples_per_update"),
        (lambda: warmup("2 tokens").resolve(10), "tokens_per_update"),
        (lambda: warmup(5).resolve(10, updates_per_epoch=0), "updates_per_epoch"),
        (lambda: (warmup(50) >> cosine()).resolve(10), "50"),
        (lambda: (warmup(50) * cosine()).resolve(10), "50"),
        (lambda: cosine(1).repeat(10**5).repeat(10**5).repeat(10**5).repeat(10**5)(0), "any run"),
        (lambda: cosine(10)("a"), "t must be an update number"),
        (lambda: multi_step(["10%", 20]).resolve(200), "20 does not come after 20"),
        (lambda: hold(5).stretch(0.01), "nothing would be left of hold(5)"),
        (lambda: Sequence((cosine(),)), "at least two schedules, not 1"),
        (lambda: Product(()), "at least one schedule"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


@pytest.mark.parametrize("other", ["x", None, [1]])
def test_other_things_cannot_be_put_together(other):
    with pytest.raises(TypeError):
        cosine() >> other
    with pytest.raises(TypeError):
        cosine() * other
    with pytest.raises(TypeError):
        other * cosine()


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "empty"),
        ("  ", 0, "empty"),
        ("warmup(500) >> cosin(floor=0.1)", 15, "did you mean 'cosine'"),
        ("nothing_like_it()", 0, "there are warmup"),
        ("warmup(500) >>", 14, "cannot be read"),
        ("warmup(500", 6, "never closed"),
        ("warmup(5) + cosine()", 10, "'>>' and '*' only"),
        ("cosine(flor=0.1)", 7, "no argument 'flor'"),
        ("cosine(floor=2)", 13, "[0, 1]"),
        ("multi_step([10], duration=-1)", 26, "duration must be at least 0"),
        ("1" + "0" * 400 + " >> cosine", 0, "A number cannot be a phase"),
        ("cosine(10).repeat(0)", 18, "times must be at least 1"),
        ("cosine(10).repeat(100, growth=2)", 18, "longer than any run"),
        ("cosine(10).repeat(first=0)", 24, "first must be at least 1"),
        ("cosine().repeat()", 0, "times must be given"),
        ("cosine(10).repeat(growth=0.5)", 25, "growth must be 1, or lie in"),
        ("cosine().branch(5)", 0, "branch needs tail"),
        ("cosine().branch(5, 3)", 19, "A schedule must stand here"),
        ("cosine().branch(0, linear)", 16, "at must be at least 1 update"),
        ("cosine().clip(0.5, 0.1)", 19, "high must be at least low"),
        ("cosine().staircase(0)", 19, "every must be at least 1 update"),
        ("multi_step([30, 20])", 11, "at must rise"),
        ("multi_step([])", 11, "at must hold at least one"),
        ("multi_step(5)", 11, "at must be a list of durations"),
        ("piecewise([(1, 1)])", 10, "must start with a point at time 0"),
        ("piecewise([(0, 1, 2)])", 10, "pairs of a time and a factor"),
        ("piecewise([(0, 1)], shape='round')", 26, "shape must be one of 'constant'"),
        ("table([])", 6, "factors must hold at least one"),
        ("table([1, -1])", 6, "factors must be at least 0"),
        ("warmup(5, shape='exponential')", 0, "start must be above 0"),
        ("function('math:sqrt')", 0, "allow_functions=True"),
        ("wsd(decay=-1)", 10, "decay must be at least 0"),
        ("wsd(0.1, 0.2, 'linear', 0.0, 5)", 29, "at most 4"),
        ("one_cycle(three_phase=True, start=0)", 34, "start be above 0"),
        ("tanh(start=3, end=-7)", 11, "start and end must be rising"),
        ("radam_warmup(0.5)", 13, "beta2 must lie in (0.6, 1)"),
        ("power(1, 5)", 6, "exponent must lie in [-10, 0]"),
        ("warmup(5) >> cosine(floor=-1)", 26, "[0, 1]"),
        ("cosine())", 8, "closes nothing"),
        ("cosine('x)", 7, "cannot be read"),
        ("linear(1, 2, 3)", 13, "at most 2"),
        ("cosine(5, duration=6)", 10, "twice"),
        ("warmup", 0, "needs duration"),
        ("warmup()", 0, "needs duration"),
        ("warmup('soon')", 7, "soon"),
        ("warmup(x)", 7, "Only schedules, numbers"),
        ("warmup(lambda: 1)", 7, "Only schedules, numbers"),
        ("cosine(**{})", 7, "no '**'"),
        ("2 >> cosine()", 0, "constant(2)"),
        ("cosine() >> 2", 12, "constant(2)"),
        ("hold() >> hold()", 10, "fill what remains"),
        ("hold() >> warmup(5) >> cosine", 23, "fill what remains"),
        ("-2 * cosine", 0, "at least 0"),
        ("cosine * -2", 9, "at least 0"),
        ("exponential(floor=0.1, gamma=0.5)", 0, "one of the two"),
        ("exponential(floor=0.1, every=5)", 29, "every goes with gamma"),
        ("warmup(5) >>\x0c cosin", 14, "did you mean"),
        ("'\u2028' * cosine", 0, "Only schedules, numbers"),
        ("warmup(5) >>\r\n cosin", 15, "did you mean"),
        ("cosine" + ".stretch(1)" * 900, 0, "nested"),
        ("cosine" + " " * 20_000, 10_000, "more than 10000 characters"),
        ("cosine().stretch(-1)", 17, "greater than 0"),
        ("cosine().stretch()", 0, "stretch needs k"),
        ("(2).stretch(2)", 1, "Only a schedule"),
        ("cosine().plot()", 0, "can be called"),
        ("__import__('os').system('x')", 0, "can be called"),
        ("é >> cosin", 0, "no schedule 'é'"),
        ("warmup(5) >>\n  cosin()", 15, "did you mean"),
        ("(" * 200 + "cosine" + ")" * 200, 100, "nested"),
        ("  -1", 2, "at least 0"),
        ("1e999", 0, "must be finite"),
        ("1j * cosine", 0, "Only schedules, numbers"),
    ],
)
def test_a_mistake_in_the_text_is_pointed_at(text, at, words):
    with pytest.raises(ScheduleTextError) as error:
        schedule(text)
    assert words in str(error.value)
    assert error.value.position == at
    pointed, caret = str(error.value).split("\n")[-2:]
    if at < len(text) and text[at : at + 1].strip():
        assert pointed[caret.index("^")] == text[at]


def test_unicode_before_the_mistake_does_not_move_the_pointer():
    with pytest.raises(ScheduleTextError) as error:
        schedule("warmup('5 épochs') >> cosin")
    assert error.value.position in (7, 22)


@given(st.text(max_size=60) | st.text("warmup()>*cosine.'0123456789, =", max_size=60))
def test_any_text_gives_a_schedule_or_a_clear_error(text):
    position = 0
    try:
        plan = schedule(text)
    except ScheduleTextError as error:
        plan, position = None, error.position
    assert 0 <= position <= len(text)
    assert plan is None or schedule(str(plan)) == plan


def test_texts_of_any_size_are_bounded():
    long = " >> ".join(["warmup(1)"] * 700)
    assert schedule(long).total == 700
    with pytest.raises(InputError):
        schedule("-" * 9000 + "1")


def test_what_is_a_schedule_already():
    plan = cosine()
    assert schedule(plan) is plan
    assert schedule(0.5) == constant(0.5)
    assert schedule("0.5") == constant(0.5)
    assert schedule("cosine") == cosine()
    assert schedule("+0.5 * cosine.stretch(2)") == 0.5 * cosine()
    with pytest.raises(InputError, match="A schedule"):
        schedule(None)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "no JSON"),
        (None, "no JSON"),
        ("[1]", "JSON object"),
        ('{"type": "cosin"}', "schedule.type must be one of"),
        ('{"type": 3}', "schedule.type"),
        ('{"type": "warmup"}', "lacks the field 'duration'"),
        ('{"type": "cosine", "flor": 1}', "no field 'flor'"),
        ('{"type": "cosine", "floor": 7}', "schedule: floor must lie in [0, 1]"),
        ('{"type": "cosine", "floor": "x"}', "schedule: floor"),
        ('{"type": "sequence", "parts": 3}', "schedule.parts must be a list"),
        (
            '{"type": "sequence", "parts": [{"type": "hold", "duration": 1}, {"type": "x"}]}',
            "schedule.parts[1].type",
        ),
        ('{"surefoot": "Finding", "type": "hold"}', "a Finding, not a Schedule"),
        ('{"surefoot": "Schedule", "format": 99, "type": "hold"}', "format 99"),
    ],
)
def test_a_document_that_is_no_schedule_says_where(document, words):
    with pytest.raises(InputError) as error:
        from_json(document)
    assert words in str(error.value)


def test_a_deep_document_is_refused():
    node = cosine().to_dict()
    for _ in range(200):
        node = {"type": "product", "parts": [node], "factor": 1.0}
    with pytest.raises(InputError, match="nested"):
        from_dict(node)
    with pytest.raises(InputError):
        from_json("[" * 100_000)


def test_json_is_plain_data():
    document = json.loads((warmup("5%") >> 0.5 * cosine()).to_json())
    assert document["surefoot"] == "Schedule"
    assert document["type"] == "sequence"
    assert document["parts"][0] == {
        "type": "warmup", "duration": "5%", "start": 0.0, "shape": "linear",
    }  # fmt: skip


def test_a_mistake_comes_out_of_a_worker_process_as_it_was():
    with pytest.raises(ScheduleTextError) as caught:
        schedule("cosin()")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.text, again.position) == ("cosin()", caught.value.position)
