"""``sweep`` over settings: each combination as a sweep of its own, and laws that theory knows."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

import surefoot as sf
from surefoot import InputError
from surefoot._engine.source import load_task
from surefoot._sweep.over import sweep_over

LRS = sf.grid(1e-3, 10.0, per_decade=6)


def bowl(curvature, steps=1, **changes):
    """Return gradient descent on curvature ÷ 2 × w², from w = 1."""
    x = torch.full((1, 1), math.sqrt(curvature / 2))

    def model():
        line = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(line.weight, 1.0)
        return line

    return sf.Trial(
        **{
            "model": model,
            "optimizer": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
            "train": [(x, torch.zeros(1, 1))],
            "validate": [(x, torch.zeros(1, 1))],
            "loss": mse_loss,
            "steps": steps,
            "name": "bowl",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def by_curvature():
    return sf.sweep(bowl, LRS, over={"curvature": [0.5, 2, 8]}, seeds=1, backend="loop")


def test_the_best_rate_of_a_bowl_is_one_over_its_curvature(by_curvature):
    slope = by_curvature.slope("curvature")
    assert slope.low <= -1 <= slope.high
    assert slope.exponent == pytest.approx(-1, abs=0.1)
    for point in by_curvature.ridge():
        assert point.low <= 1 / point.value <= point.high


def test_each_cell_is_the_sweep_of_its_trial(by_curvature):
    for cell in by_curvature.cells:
        alone = sf.sweep(bowl(**cell.settings), LRS, seeds=1, backend="loop")
        assert cell.sensitivity.points == alone.points
        assert cell.sensitivity.diverges_at == alone.diverges_at


def test_every_combination_is_swept_in_order():
    over = {"curvature": [1, 2], "steps": [3, 4]}
    result = sf.sweep(bowl, [0.1, 0.5], over=over, seeds=1, backend="loop")
    assert result.names == ("curvature", "steps")
    assert [tuple(cell.settings.values()) for cell in result.cells] == [
        (1, 3), (1, 4), (2, 3), (2, 4),
    ]  # fmt: skip
    assert [cell.sensitivity.steps for cell in result.cells] == [3, 4, 3, 4]


def test_names_metric_and_cost_are_those_of_all(by_curvature):
    assert by_curvature.name == "bowl"
    assert by_curvature.cells[1].sensitivity.name == "bowl, curvature=2"
    assert by_curvature.metric == "validation loss"
    parts = [cell.sensitivity.cost for cell in by_curvature.cells]
    assert by_curvature.cost.updates == sum(cost.updates for cost in parts)
    assert by_curvature.cost.seconds == pytest.approx(sum(cost.seconds for cost in parts))


def test_the_reason_says_how_the_best_rate_moves(by_curvature):
    assert by_curvature.reason.startswith("Best lr ∝ curvature^-")


def test_by_default_all_cells_have_the_rates_of_the_first():
    kinds = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}

    def make(kind):
        return bowl(1.0, optimizer=lambda model, lr: kinds[kind](model.parameters(), lr=lr))

    first, second = sf.sweep(make, over={"kind": ["SGD", "Adam"]}, seeds=1).cells
    rates = [point.lr for point in first.sensitivity.points]
    assert [point.lr for point in second.sensitivity.points] == rates
    own = sf.sweep(make("Adam"), seeds=1)
    assert [point.lr for point in own.points] != rates


def test_numpy_scalars_become_numbers_that_json_holds():
    given = {"curvature": np.array([1.0, 2.0]), "steps": np.arange(1, 3)}
    result = sf.sweep(bowl, [0.1, 0.5], over=given, seeds=1)
    types = {type(value) for cell in result.cells for value in cell.settings.values()}
    assert types == {float, int}
    assert sf.Interaction.from_json(result.to_json()).to_json() == result.to_json()


# ---------------------------------------------------------------- progress and failures


def test_progress_counts_every_sweep_by_its_updates_to_the_end():
    seen = []
    over = {"curvature": [1, 2], "steps": [3, 5]}
    sf.sweep(bowl, [0.1, 0.5], over=over, seeds=1, progress=lambda *told: seen.append(told))
    done, total, text = zip(*seen, strict=True)
    assert set(total) == {16}
    assert list(done) == sorted(done)
    assert done[-1] == 16
    assert text[0].startswith("curvature=1, steps=3 (1 of 4)")
    assert text[-1].startswith("curvature=2, steps=5 (4 of 4)")


def test_a_sweep_that_fails_does_not_lose_the_others():
    result = sf.sweep(bowl, [0.5, 1.0], over={"curvature": [1, 1e30, 2]}, seeds=1)
    assert [cell.settings["curvature"] for cell in result.cells] == [1, 2]
    (failed,) = result.failures
    assert failed.settings == {"curvature": 1e30}
    assert failed.error.startswith("InputError: No member of the sweep stayed finite")
    assert "curvature=1e+30 failed: InputError: No member" in result.reason


def test_a_failure_counts_in_the_progress():
    seen = []
    over = {"curvature": [1e30, 1]}
    sf.sweep(bowl, [0.5], over=over, seeds=1, progress=lambda *told: seen.append(told))
    assert seen[-1][:2] == (2, 2)


def test_if_all_fail_the_first_error_is_raised():
    with pytest.raises(InputError, match="No member of the sweep stayed finite"):
        sf.sweep(bowl, [0.5, 1.0], over={"curvature": [1e30, 1e32]}, seeds=1)


def test_what_make_trial_raises_is_raised_before_any_training():
    swept = []

    def make(curvature):
        return bowl({1: 1.0}[curvature])

    with pytest.raises(KeyError):
        sweep_over(make, {"curvature": [1, 2]}, lambda *given: swept.append(given))
    assert swept == []


def test_a_grid_that_ends_too_early_is_told_with_its_settings():
    def sweep_one(trial, progress):
        found = sf.sweep(trial, [1e-4, 1e-3], seeds=1, progress=progress)
        return dataclasses.replace(found, extend_to=0.01)

    result = sweep_over(bowl, {"curvature": [1]}, sweep_one)
    assert result.reason.endswith(" At curvature=1 the grid ends too early: go to 0.01.")


def test_losses_of_two_kinds_are_called_loss():
    def make(validate):
        return bowl(1.0, **({} if validate else {"validate": None}))

    assert sf.sweep(make, [0.1, 0.5], over={"validate": [True, False]}, seeds=1).metric == "loss"


MODULE = """
import threading
import torch
import surefoot as sf

DATA = [(torch.ones(4, 1), torch.full((4, 1), 3.0))]


def make(size, kind="plain"):
    lock = threading.Lock()  # which cannot be pickled, so that a worker has to make its own

    def objective(model, batch):
        with lock:
            return torch.nn.functional.mse_loss(model(batch[0]), batch[1]) * size

    return sf.Trial(
        model=lambda: torch.nn.Linear(1, 1, bias=False),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=DATA,
        objective=objective,
        steps=3,
        name="locked",
    )
"""


def test_workers_make_the_trials_of_a_file_themselves(tmp_path):
    path = tmp_path / "locked_task.py"
    path.write_text(MODULE)
    make = load_task(f"{path}:make")
    spread, alone = (
        sf.sweep(make, [0.01, 0.1], over={"size": [1, 2]}, seeds=1, backend=backend, workers=1)
        for backend in ("processes", "loop")
    )
    assert spread.failures == ()
    for one, other in zip(spread.cells, alone.cells, strict=True):
        assert one.sensitivity.points == other.sensitivity.points
        assert one.sensitivity.name == f"locked, size={one.settings['size']}"
    first, second = (cell.sensitivity.best.loss for cell in spread.cells)
    assert first != second


# ---------------------------------------------------------------- what is refused


def of_size(size):
    return bowl(size)


def takes_anything(**settings):
    return bowl(settings["curvature"])


@pytest.mark.parametrize(
    ("make", "over", "said"),
    [
        (bowl, {}, "over must map the names of settings to their values"),
        (bowl, [1, 2], "over must map the names"),
        (
            lambda curvature: bowl(1),
            {"curvatur": [1]},
            "over gives 'curvatur', a setting that the function does .*did you mean 'curvature'",
        ),
        (lambda size: bowl(1.0), {"batch": [1]}, "over gives 'batch', .*it takes size"),
        (lambda a, b: bowl(a), {"a": [1]}, "the function needs 'b': give it values in over"),
        (bowl, {"curvature": []}, "over must give 'curvature' a sequence .* it is empty"),
        (bowl, {"curvature": 3}, "over must give 'curvature' a sequence of values, .* not 3"),
        (bowl, {"curvature": "abc"}, "over must give 'curvature' a sequence"),
        (
            bowl,
            {"curvature": [1, 2, 1]},
            "'curvature' values that differ from each other; 1 is there twice",
        ),
        (bowl, {"curvature": [math.nan]}, "must give 'curvature' text, finite numbers"),
        (bowl, {"curvature": [torch.nn.ReLU]}, "give that a name, and let the function look"),
        (lambda a: 3, {"a": [1]}, "must return a surefoot.Trial; for a=1 it returned a int"),
        (of_size, {"sise": [1]}, r"that of_size\(\) does not take; did you mean 'size'\?"),
        (bowl, {"curvatur": [1]}, r"bowl\(\) needs 'curvature': give it values in over"),
        (bowl(1.0), {"curvature": [1]}, "over needs a function that .* not a Trial"),
        (3, {"curvature": [1]}, "over needs a function"),
    ],
)
def test_says_what_is_wrong(make, over, said):
    with pytest.raises(InputError, match=said):
        sf.sweep(make, LRS, over=over)


def test_a_function_of_any_names_takes_any_names():
    over = {"curvature": [1.0], "note": ["a", None]}
    result = sf.sweep(takes_anything, [0.1, 0.5], over=over, seeds=1)
    assert result.values("note") == ("a", None)


def test_a_callable_without_a_signature_is_called():
    class Silent:
        __signature__ = "none"

        def __call__(self, **settings):
            return bowl(**settings)

    assert len(sf.sweep(Silent(), [0.1, 0.5], over={"curvature": [1]}, seeds=1).cells) == 1
