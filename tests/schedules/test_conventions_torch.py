"""from_torch against the installed torch: every stock scheduler, alone and put together."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as library

import surefoot as sf
from surefoot.errors import InputError
from surefoot.schedules import from_torch
from surefoot.schedules.table import Table

LRS = (0.3, 0.02)


def sgd(lrs=LRS, momentum=0.9):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=0.1, momentum=momentum)


def adam(lrs=LRS):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95))


def read(optimizer):
    return [
        (group["lr"], group["betas"][0] if "betas" in group else group["momentum"])
        for group in optimizer.param_groups
    ]


def theirs(optimizer, scheduler, total):
    """Return the lr and the momentum that each update uses: an array (total, groups, 2)."""
    used = [read(optimizer)]
    for _ in range(1, total):
        optimizer.step()
        scheduler.step()
        used.append(read(optimizer))
    return np.asarray(used, dtype=float)


def ours(optimizer, found, total):
    """Return the same from schedules, as the Scheduler would write it, without making one."""
    groups = optimizer.param_groups
    if not isinstance(found, dict):
        found = {"lr": [found] * len(groups)}

    def curve(schedule):
        resolved = schedule.resolve(total) if schedule.is_open else schedule
        return resolved(np.arange(total))

    result = np.empty((total, len(groups), 2))
    for g, (group, (_, momentum)) in enumerate(zip(groups, read(optimizer), strict=True)):
        result[:, g, 0] = float(group["initial_lr"]) * curve(found["lr"][g])
        others = [value for field, value in found.items() if field != "lr"]
        result[:, g, 1] = momentum * (curve(others[0][g]) if others else np.ones(total))
    return result


def assert_reproduced(make, total, given_total=None, make_optimizer=sgd):
    """Compare all updates, from a new scheduler and from one that has already stepped.

    Returns what the last of them was read as.
    """
    reference = make_optimizer()
    exact = theirs(reference, make(reference), total)
    found = None
    for steps in (0, total // 3):
        optimizer = make_optimizer()
        scheduler = make(optimizer)
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
        found = from_torch(scheduler, given_total)
        np.testing.assert_allclose(
            ours(optimizer, found, total), exact, rtol=1e-12, atol=1e-12 * max(LRS)
        )
    return found


STEP = [(1, 0.9), (7, 0.5), (30, 0.1), (10, 1.0), (10, 0.0)]
MAKERS = {
    **{f"StepLR-{n}-{g}": lambda o, n=n, g=g: library.StepLR(o, n, g) for n, g in STEP},
    **{
        f"MultiStepLR-{m}-{g}": lambda o, m=m, g=g: library.MultiStepLR(o, m, g)
        for m, g in [([30, 60], 0.1), ([0, 5, 5, 77], 0.5), ([], 0.1), ([9, 20], 2.0), ([200], 0.1)]
    },
    **{
        f"ConstantLR-{f}-{n}": lambda o, f=f, n=n: library.ConstantLR(o, f, n)
        for f, n in [(1 / 3, 5), (0.1, 1), (0.5, 0), (1.0, 9), (0.2, 200)]
    },
    **{
        f"LinearLR-{a}-{b}-{n}": lambda o, a=a, b=b, n=n: library.LinearLR(o, a, b, n)
        for a, b, n in [
            (1 / 3, 1, 5), (1e-3, 1, 31), (1, 0, 40), (0.2, 0.2, 7), (1, 0.3, 1), (0.5, 1, 0),
        ]
    },
    **{
        f"ExponentialLR-{g}": lambda o, g=g: library.ExponentialLR(o, g)
        for g in (0.95, 1.0, 0.0, 0.5)
    },
    **{
        f"PolynomialLR-{n}-{p}": lambda o, n=n, p=p: library.PolynomialLR(o, n, p)
        for n, p in [(100, 1), (37, 2.5), (1, 0.5), (61, 0.5), (5, 0), (0, 1)]
    },
    **{
        f"CosineAnnealingLR-{n}-{low}": lambda o, n=n, low=low: library.CosineAnnealingLR(o, n, low)
        for n, low in itertools.product((100, 101, 300), (0, 0.001, 0.02, 0.1))
    },
    **{
        f"WarmRestarts-{n}-{k}-{low}": lambda o, n=n, k=k, low=low: (
            library.CosineAnnealingWarmRestarts(o, n, k, low)
        )
        for n, k, low in itertools.product((1, 7, 10, 200), (1, 2, 3), (0, 0.001, 0.1))
    },
    "LambdaLR": lambda o: library.LambdaLR(o, lambda t: 0.95**t),
    "LambdaLR-groups": lambda o: library.LambdaLR(o, [lambda t: 0.95**t, lambda t: 1 / (1 + t)]),
    **{
        f"CyclicLR-{mode}-{up}-{down}": lambda o, mode=mode, up=up, down=down: library.CyclicLR(
            o, [0.01, 0.003], [0.3, 0.02], up, down, mode, gamma=0.99,
            cycle_momentum=mode != "exp_range",
        )
        for mode in ("triangular", "triangular2", "exp_range")
        for up, down in [(5, None), (3, 14), (20, 1), (1, 1), (2.5, 4.5)]
    },
    **{
        f"OneCycleLR-{n}-{p}-{kind}-{three}": lambda o, n=n, p=p, kind=kind, three=three: (
            library.OneCycleLR(
                o, [1.0, 0.1], total_steps=n, pct_start=p, anneal_strategy=kind, three_phase=three
            )
        )
        for n, p, kind, three in itertools.product(
            (100, 137), (0.3, 0.25, 0.123, 0.45, 0.0, 0.005, 0.8), ("cos", "linear"), (False, True)
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_every_stock_scheduler_alone(name):
    found = assert_reproduced(MAKERS[name], 100)
    parts = found.values() if isinstance(found, dict) else [[found]]
    tables = [each for schedules in parts for each in schedules if isinstance(each, Table)]
    # a table only where the peak of one-cycle lies before the first update
    assert not tables or (name.startswith("OneCycleLR") and "-0.0" in name)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("total", [1, 43])
def test_every_stock_scheduler_with_a_total(name, total):
    found = assert_reproduced(MAKERS[name], total, given_total=total)
    schedules = (
        [each for part in found.values() for each in part] if isinstance(found, dict) else [found]
    )
    assert {each.total for each in schedules} == {total}


@pytest.mark.parametrize("name", [name for name in MAKERS if "Cycl" in name])
def test_momentum_is_that_of_adam_too(name):
    found = assert_reproduced(MAKERS[name], 100, make_optimizer=adam)
    assert found.keys() == ({"lr"} if "exp_range" in name else {"lr", "betas.0"})


NEED_TOTAL = {
    "MultiplicativeLR": lambda o: library.MultiplicativeLR(
        o, [lambda t: 0.95, lambda t: 1 - 1 / (1 + t)]
    ),
    "StepLR": lambda o: library.StepLR(o, 9, 1.5),
    "ExponentialLR": lambda o: library.ExponentialLR(o, 1.05),
    "LinearLR": lambda o: library.LinearLR(o, 0.1, 1, 7.5),
    "CosineAnnealingLR": lambda o: library.CosineAnnealingLR(o, 30.5),
    "CyclicLR-function": lambda o: library.CyclicLR(
        o, 0.01, 0.3, 5, scale_fn=lambda x: 1 / (5 ** (x * 0.0001))
    ),
    "CyclicLR-inverted": lambda o: library.CyclicLR(o, 0.3, 0.1, 5),
    "CyclicLR-exp_range": lambda o: library.CyclicLR(o, 0.01, 0.3, 5, mode="exp_range", gamma=0.99),
    "CyclicLR-between": lambda o: library.CyclicLR(o, 0.01, 0.3, 2.25, 5.5),
}  # fmt: skip


@pytest.mark.parametrize("name", NEED_TOTAL)
def test_what_has_no_closed_form_is_a_table_and_needs_the_total(name):
    with pytest.raises(InputError, match=f"total is needed for this {name.split('-')[0]}"):
        from_torch(NEED_TOTAL[name](sgd()))
    assert_reproduced(NEED_TOTAL[name], 80, given_total=80)


@pytest.mark.parametrize("half", [1, 2, 7, 30])
def test_the_cosine_of_torch_rises_again_and_with_a_total_ours_does_too(half):
    assert_reproduced(lambda o: library.CosineAnnealingLR(o, half, 0.001), 200, given_total=200)
    plan = from_torch(library.CosineAnnealingLR(sgd((0.3, 0.3)), half))
    assert str(plan) == f"cosine({half})"


def warm(o, n=10):
    return library.LinearLR(o, 0.01, 1.0, n)


def sequence(*parts):
    """Return a maker: (length, maker), (length, maker), …, maker."""

    def make(o):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = [part(o) for _, part in parts[:-1]] + [parts[-1](o)]
            edges = list(itertools.accumulate(n for n, _ in parts[:-1]))
            return library.SequentialLR(o, made, edges)

    return make


def chain(*parts):
    return lambda o: library.ChainedScheduler([part(o) for part in parts])


CLEAN = {
    "warm-up, cosine": sequence((10, warm), lambda o: library.CosineAnnealingLR(o, 90, 0.001)),
    "warm-up, exponential": sequence((10, warm), lambda o: library.ExponentialLR(o, 0.97)),
    "warm-up, steps": sequence((10, warm), lambda o: library.StepLR(o, 20)),
    "warm-up, restarts": sequence(
        (10, warm), lambda o: library.CosineAnnealingWarmRestarts(o, 15, 2)
    ),
    "no warm-up": sequence((0, warm), lambda o: library.CosineAnnealingLR(o, 100)),
    "three": sequence(
        (10, warm),
        (50, lambda o: library.ConstantLR(o, 1.0)),
        lambda o: library.LinearLR(o, 1, 0, 40),
    ),
    "cut cosine": sequence(
        (40, lambda o: library.CosineAnnealingLR(o, 60)), lambda o: library.ConstantLR(o, 0.1, 5)
    ),
    "lambda": sequence((10, warm), lambda o: library.LambdaLR(o, lambda t: 1 / (1 + t))),
    "chain": chain(warm, lambda o: library.ExponentialLR(o, 0.97)),
    "chain of three": chain(
        warm, lambda o: library.StepLR(o, 30), lambda o: library.ExponentialLR(o, 0.99)
    ),
    "chain with cosine": chain(warm, lambda o: library.CosineAnnealingLR(o, 100)),
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_composites_that_are_what_they_say_become_phases(name):
    found = assert_reproduced(CLEAN[name], 100)
    schedules = [found] if not isinstance(found, dict) else found["lr"]
    assert not any(isinstance(each, Table) for each in schedules)
    assert " >> " in str(schedules[0]) or " * " in str(schedules[0]) or name == "no warm-up"
    assert_reproduced(CLEAN[name], 90, given_total=90)


ODD = {
    "multiplicative goes on": sequence(
        (10, warm), lambda o: library.MultiplicativeLR(o, lambda t: 0.97)
    ),
    "nested": sequence(
        (10, warm),
        (20, lambda o: library.StepLR(o, 3, 0.9)),
        lambda o: library.CosineAnnealingLR(o, 60),
    ),
    "wrapped": sequence(
        (30, sequence((5, warm), lambda o: library.ExponentialLR(o, 0.9))),
        lambda o: library.ConstantLR(o, 0.5, 10),
    ),
    "chain in a sequence": sequence(
        (30, chain(warm, lambda o: library.ExponentialLR(o, 0.97))),
        lambda o: library.StepLR(o, 10),
    ),
    "chain with a minimum": chain(warm, lambda o: library.CosineAnnealingLR(o, 100, 0.001)),
    "chain with restarts": chain(warm, lambda o: library.CosineAnnealingWarmRestarts(o, 20)),
    "chain with a lambda": chain(warm, lambda o: library.LambdaLR(o, lambda t: 0.9**t)),
    "one-cycle inside": sequence((20, warm), lambda o: library.OneCycleLR(o, 0.5, total_steps=90)),
    "cycles inside": sequence((20, warm), lambda o: library.CyclicLR(o, 0.01, 0.2, 7)),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_composites_that_are_not_are_reproduced_with_the_total(name):
    assert_reproduced(ODD[name], 100, given_total=100)


def test_a_composite_that_is_not_what_it_says_is_never_taken_for_it():
    for name in ("multiplicative goes on", "chain with a minimum", "chain with a lambda"):
        with pytest.raises(InputError, match="whose curve in torch is not that of its parts"):
            from_torch(ODD[name](sgd()))


def test_what_torch_itself_cannot_step_says_so():
    make = sequence((10, warm), chain(warm, lambda o: library.ExponentialLR(o, 0.97)))
    with pytest.raises(InputError, match="SequentialLR itself fails with NotImplementedError"):
        from_torch(make(sgd()), total=50)


def test_a_metric_leads_to_the_control():
    plateau = library.ReduceLROnPlateau(sgd(), factor=0.5, patience=4, mode="max", cooldown=2)
    words = 'factor=0.5, patience=5, threshold=0.0001, mode="max", cooldown=2, raise_after=None'
    with pytest.raises(InputError, match=rf"control=plateau\({words}\)"):
        from_torch(plateau)
    with pytest.raises(InputError, match="scheduler must be one of torch's StepLR, MultiStepLR"):
        from_torch(sgd())


def test_subclasses():
    class Named(library.StepLR):
        """Another name."""

    class Own(library.LRScheduler):
        def get_lr(self):
            return [base / (1 + self.last_epoch) for base in self.base_lrs]

    class Halved(library.StepLR):
        def get_lr(self):
            return [lr / 2 if self.last_epoch else lr for lr in super().get_lr()]

    assert str(from_torch(Named(sgd(), 5))) == "step(5)"
    for kind in (Own, lambda o: Halved(o, 5)):
        with pytest.raises(InputError, match="LRScheduler together with total"):
            from_torch(kind(sgd()))
        assert_reproduced(kind, 40, given_total=40)


def test_tensor_rates_and_nothing_of_the_user_is_touched():
    optimizer = torch.optim.AdamW(
        [torch.nn.Parameter(torch.zeros(3))], lr=torch.tensor(0.25, dtype=torch.float64)
    )
    scheduler = library.SequentialLR(
        optimizer,
        [
            library.LinearLR(optimizer, 0.01, 1, 5),
            library.MultiplicativeLR(optimizer, lambda t: 0.9),
        ],
        [5],
    )
    rate = optimizer.param_groups[0]["lr"]
    before = (rate, float(rate), scheduler.state_dict().copy(), optimizer.param_groups[0].keys())
    plan = from_torch(scheduler, total=40)
    rate = optimizer.param_groups[0]["lr"]
    assert before == (rate, float(rate), scheduler.state_dict(), optimizer.param_groups[0].keys())
    assert rate is before[0]
    exact = []
    for _ in range(40):
        exact.append(float(rate) / 0.25)
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(plan.values(), exact, rtol=1e-12)


def test_a_stepped_composite_whose_start_is_lost_says_so():
    optimizer = sgd()
    scheduler = CLEAN["warm-up, exponential"](optimizer)
    for _ in range(20):
        optimizer.step()
        scheduler.step()
    optimizer.param_groups[0]["lr"] = 7.0  # by hand
    with pytest.raises(InputError, match="whose start can be found again: this SequentialLR has"):
        from_torch(scheduler)


def test_what_has_no_factors_says_so():
    optimizer = sgd((0.3, 0.0))
    with pytest.raises(
        InputError, match=r"no factor makes it the lr = 0.01: give the group a value"
    ):
        from_torch(library.CosineAnnealingLR(optimizer, 10, 0.01))
    assert_reproduced(
        lambda o: library.CosineAnnealingLR(o, 10), 10, make_optimizer=lambda: sgd((0.3, 0.0))
    )
    with pytest.raises(InputError, match="no factor makes it the lr"):
        from_torch(library.CyclicLR(sgd(), 0.0, 0.3, 5))


def test_a_negative_lr_is_called_one():
    flat = lambda: sgd((0.3, 0.3))  # noqa: E731
    with pytest.raises(InputError, match=r"the lr is -0.1, where the group's own is 0.3: a factor"):
        from_torch(library.CosineAnnealingLR(flat(), 10, -0.1))
    for total in (None, 20):
        with pytest.raises(InputError, match=r"multiplied by -0.5 again and again, so it gets"):
            from_torch(library.StepLR(flat(), 5, -0.5), total)
        with pytest.raises(InputError, match=r"multiplied by -0.5 again and again, so it gets"):
            from_torch(library.MultiStepLR(flat(), [5], -0.5), total)
    with pytest.raises(InputError, match="this LambdaLR has a negative value, -1 at update 6"):
        from_torch(library.LambdaLR(flat(), lambda t: 5 - t), total=20)
    with pytest.raises(InputError, match=r"the lr of this MultiplicativeLR at update 1 is -0.27"):
        from_torch(library.MultiplicativeLR(flat(), lambda t: -0.9), total=20)
    chained = chain(PARTS["exponential"], PARTS["cosine"])  # torch's own goes below its minimum
    with pytest.raises(InputError, match=r"the lr of this ChainedScheduler at update 38 is -0.000"):
        from_torch(chained(sgd()), total=40)


PARTS = {
    "cyclic": lambda o: library.CyclicLR(o, 0.01, 0.3, 5),
    "warm-up": warm,
    "exponential": lambda o: library.ExponentialLR(o, 0.97),
    "cosine": lambda o: library.CosineAnnealingLR(o, 30, 0.001),
    "one-cycle": lambda o: library.OneCycleLR(o, 0.5, total_steps=90),
    "restarts": lambda o: library.CosineAnnealingWarmRestarts(o, 7),
    "lambda": lambda o: library.LambdaLR(o, lambda t: 1 / (1 + t)),
    "polynomial": lambda o: library.PolynomialLR(o, 40, 2),
}


@pytest.mark.parametrize(("first", "second"), [*itertools.product(PARTS, PARTS)])
def test_the_start_of_a_stepped_chain_is_that_of_a_fresh_one(first, second):
    assert_reproduced(chain(PARTS[first], PARTS[second]), 25, given_total=25)


def test_groups_that_came_late_are_told():
    optimizer = sgd()
    scheduler = library.StepLR(optimizer, 5)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1})
    with pytest.raises(InputError, match="there are 3, and it was made for 2"):
        from_torch(scheduler)


def test_a_scheduler_of_torch_elsewhere_is_a_table():
    assert_reproduced(lambda o: torch.optim.swa_utils.SWALR(o, 0.05, 7), 30, given_total=30)


@settings(max_examples=60)
@given(
    total=st.integers(2, 200),
    n=st.integers(1, 90),
    m=st.integers(0, 60),
    rate=st.floats(0.05, 1.0),
    low=st.floats(0, 0.4),
    kinds=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_any_two_in_a_row(total, n, m, rate, low, kinds):
    makers = [
        lambda o: library.StepLR(o, n, rate),
        lambda o: library.LinearLR(o, rate, 1.0, n),
        lambda o: library.CosineAnnealingLR(o, n, low),
        lambda o: library.ExponentialLR(o, rate),
        lambda o: library.PolynomialLR(o, n, 1 + rate),
        lambda o: library.CosineAnnealingWarmRestarts(o, n, 2, low),
        lambda o: library.MultiplicativeLR(o, lambda t: rate),
    ]
    assert_reproduced(sequence((m, makers[kinds[0]]), makers[kinds[1]]), total, given_total=total)


@settings(max_examples=60)
@given(
    total=st.integers(2, 300),
    pct=st.floats(0.0, 1.0),
    three=st.booleans(),
    kind=st.sampled_from(["cos", "linear"]),
    div=st.floats(1.5, 100),
)
def test_any_one_cycle(total, pct, three, kind, div):
    def make(o):
        return library.OneCycleLR(
            o, [1.0, 0.1], total_steps=total, pct_start=pct, three_phase=three, div_factor=div,
            anneal_strategy=kind,
        )  # fmt: skip

    try:
        reference = sgd()
        theirs(reference, make(reference), total)
    except ZeroDivisionError:  # theirs, where the peak is at update 0
        assume(False)
    assert_reproduced(make, total)


def test_the_scheduler_goes_on_with_the_same_curve():
    optimizer = adam()
    old = library.OneCycleLR(optimizer, [1.0, 0.1], total_steps=60)
    reference = adam()
    exact = theirs(reference, library.OneCycleLR(reference, [1.0, 0.1], total_steps=60), 60)
    for _ in range(25):
        optimizer.step()
        old.step()
    new = sf.Scheduler(optimizer, from_torch(old))
    new.seek(25)
    for t in range(25, 60):
        np.testing.assert_allclose(read(optimizer), exact[t], rtol=1e-12)
        optimizer.step()
        new.step()
