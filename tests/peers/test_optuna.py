"""Optuna, the installed one: studies as U curves, and trials as objectives."""

import math
import subprocess
import sys

import optuna
import pytest
import torch
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from torch.nn.functional import mse_loss

import surefoot as sf
from surefoot import InputError
from surefoot.integrations import from_optuna, to_optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
LRS = [0.001, 0.01, 0.1, 1.0, 10.0]


def slope(steps=40, **options):
    """Return one weight of curvature 1 under gradient descent, which diverges above lr 2."""
    data = [(torch.ones(8, 1), torch.full((8, 1), 3.0))]
    return sf.Trial(
        model=lambda: torch.nn.Linear(1, 1, bias=False),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=data,
        objective=lambda model, batch: 0.5 * mse_loss(model(batch[0]), batch[1]),
        steps=steps,
        name="slope",
        **options,
    )


def grid_study(lrs=LRS, **options):
    options.setdefault("pruner", optuna.pruners.NopPruner())
    return optuna.create_study(sampler=GridSampler({"lr": lrs}, seed=0), **options)


def filled(function, parameters, **options):
    """Return a study whose trials have these parameters, one after another."""
    study = optuna.create_study(**options)
    for each in parameters:
        study.enqueue_trial(each)
    study.optimize(function, n_trials=len(parameters), catch=(ValueError,))
    return study


def parabola(trial):
    return 1 + math.log10(trial.suggest_float("lr", 1e-5, 10, log=True) / 0.01) ** 2


def storages(folder):
    lock = JournalFileOpenLock(str(folder / "lock"))
    return {
        "memory": None,
        "sqlite": f"sqlite:///{folder / 'study.db'}",
        "journal": JournalStorage(JournalFileBackend(str(folder / "log"), lock_obj=lock)),
    }


@pytest.mark.parametrize("kind", ["memory", "sqlite", "journal"])
def test_a_study_of_our_objective_is_the_sweep_in_every_storage(kind, tmp_path):
    trial = slope()
    study = grid_study(storage=storages(tmp_path)[kind], study_name="slope")
    study.optimize(to_optuna(trial, 1e-4, 100.0))
    found = from_optuna(study)
    swept = sf.sweep(trial, LRS, seeds=1, backend="loop")
    assert [p.lr for p in found.points] == LRS
    assert [p.loss for p in found.points] == [p.loss for p in swept.points]
    assert found.best == swept.best
    assert found.diverges_at == swept.diverges_at == 10.0
    assert found.untrained == swept.untrained
    assert (found.basin, found.metric, found.steps) == (swept.basin, swept.metric, swept.steps)
    assert found.cost.updates == swept.cost.updates
    assert found.name == "slope"


def test_our_objective_reports_the_training_loss_since_the_last_report():
    trial = slope(steps=7)
    study = grid_study([0.1])
    study.optimize(to_optuna(trial, 0.1, 0.1, report_every=3))
    (curve,) = (member.curve for member in sf.sweep(trial, [0.1], seeds=1).members)
    losses = curve.values.tolist()
    expected = {3: sum(losses[:3]) / 3, 6: sum(losses[3:6]) / 3, 7: losses[6]}
    assert study.trials[0].intermediate_values == pytest.approx(expected)


def test_a_training_that_diverges_completes_with_inf():
    study = grid_study([0.1, 1e30])
    study.optimize(to_optuna(slope(), 1e-3, 1e31))
    assert {t.state.name for t in study.trials} == {"COMPLETE"}
    assert study.best_params == {"lr": 0.1}
    result = from_optuna(study)
    assert [point.loss for point in result.points][1] == math.inf
    assert result.points[1].diverged == 1


@pytest.mark.parametrize(
    "pruner",
    [
        MedianPruner(n_startup_trials=1, n_warmup_steps=5),
        SuccessiveHalvingPruner(min_resource=4, reduction_factor=2),
    ],
    ids=["median", "halving"],
)
def test_pruners_stop_slow_members_early(pruner):
    lrs = [0.5, 0.3, 0.001, 0.002, 0.003, 0.0005]
    study = filled(to_optuna(slope(), 1e-4, 1.0), [{"lr": lr} for lr in lrs], pruner=pruner)
    pruned = [t for t in study.trials if t.state.name == "PRUNED"]
    assert pruned
    assert max(max(t.intermediate_values) for t in pruned) < 40
    result = from_optuna(study)
    assert len(result.points) == len(lrs) - len(pruned)
    assert f"{len(pruned)} pruned" in result.reason


@pytest.mark.parametrize("sampler", [TPESampler, RandomSampler])
def test_samplers_find_the_basin(sampler):
    study = optuna.create_study(sampler=sampler(seed=0))
    study.optimize(to_optuna(slope(), 1e-4, 10.0), n_trials=20)
    assert 0.2 < study.best_params["lr"] < 2
    assert from_optuna(study).best.loss == study.best_value


def test_threads_train_as_one_thread_does():
    runs = []
    for jobs in (1, 2):
        study = grid_study()
        study.optimize(to_optuna(slope(), 1e-4, 100.0), n_jobs=jobs)
        runs.append({t.params["lr"]: t.value for t in study.trials})
    assert runs[0] == runs[1]


def test_random_state_outside_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    study = grid_study([0.1])
    study.optimize(to_optuna(slope(), 0.01, 1.0))
    assert torch.equal(before, torch.get_rng_state())


def test_any_study_that_minimizes_becomes_a_curve():
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    study = filled(parabola, [{"lr": lr} for lr in rates])
    result = from_optuna(study)
    assert [point.lr for point in result.points] == rates
    assert [point.loss for point in result.points] == pytest.approx([5, 2, 1, 2, 5])
    assert result.best.lr == 1e-2
    assert result.diverges_at is None
    assert not any(member.diverged for member in result.members)
    assert math.isnan(result.untrained)
    assert (result.metric, result.cost.trainings) == ("objective value", 5)
    sf.plots.figure(result).to_text(80, 12)
    assert "nan" not in result.reason


def test_with_the_untrained_loss_the_edge_is_known_too():
    study = filled(parabola, [{"lr": lr} for lr in (1e-3, 1e-2, 1e-1, 1.0, 10.0)])
    assert from_optuna(study, untrained=4.9).diverges_at == 1.0


def test_negative_losses_need_the_untrained_one():
    study = filled(lambda trial: parabola(trial) - 3, [{"lr": lr} for lr in (1e-3, 1e-2, 1e-1)])
    with pytest.raises(InputError, match="untrained must be given"):
        from_optuna(study)
    result = from_optuna(study, untrained=0.0)
    assert result.best.loss == pytest.approx(-2)
    assert 1e-3 < result.basin.low < 1e-2


def test_failed_pruned_and_unfinished_trials_are_told_apart():
    def function(trial):
        lr = trial.suggest_float("lr", 1e-5, 10, log=True)
        if lr == 1.0:
            raise ValueError("no")
        if lr == 2.0:
            trial.report(math.nan, 3)
            return math.nan
        if lr == 3.0:
            trial.report(1.0, 1)
            raise optuna.TrialPruned
        return math.inf if lr == 4.0 else lr

    study = filled(function, [{"lr": lr} for lr in (0.1, 0.2, 1.0, 2.0, 3.0, 4.0)])
    study.enqueue_trial({"lr": 5.0})
    result = from_optuna(study)
    by_rate = {member.lr: member for member in result.members}
    assert sorted(by_rate) == [0.1, 0.2, 1.0, 2.0, 4.0]
    assert "failed in Optuna" in by_rate[1.0].error
    assert by_rate[2.0].diverged
    assert by_rate[4.0].diverged
    assert not by_rate[2.0].error
    assert "Left out of the study: 1 pruned, 1 unfinished." in result.reason


def test_other_parameters_that_vary_are_named_and_where_selects():
    def function(trial):
        batch = trial.suggest_categorical("batch_size", [32, 64])
        trial.suggest_int("layers", 2, 2)
        return parabola(trial) * batch

    every = [{"lr": lr, "batch_size": b} for lr in (0.001, 0.01, 0.1) for b in (32, 64)]
    study = filled(function, every)
    with pytest.raises(InputError, match=r"batch_size: 32, 64.*where=\{'batch_size': 32\}"):
        from_optuna(study)
    result = from_optuna(study, where={"batch_size": 64})
    assert [point.loss for point in result.points] == pytest.approx([128, 64, 128])
    with pytest.raises(InputError, match="no trial has batch_size=128"):
        from_optuna(study, where={"batch_size": 128})
    with pytest.raises(InputError, match="where must name a parameter of the study, not 'batch'"):
        from_optuna(study, where={"batch": 64})


@pytest.mark.parametrize("attribute", [False, True], ids=["parameter", "user attribute"])
def test_seeds_are_read_from_a_parameter_or_an_attribute(attribute):
    def function(trial):
        if attribute:
            trial.set_user_attr("seed", trial.number // 2)
        else:
            trial.suggest_int("seed", 0, 9)
        return parabola(trial) + 0.01 * trial.number

    rates = (0.001, 0.01) * 2
    seeds = (0, 0, 1, 1)
    every = [{"lr": lr, "seed": s} for lr, s in zip(rates, seeds, strict=True)]
    study = filled(function, [{"lr": each["lr"]} for each in every] if attribute else every)
    result = from_optuna(study, seed="seed")
    assert [(m.lr, m.seed) for m in result.members] == list(zip(rates, seeds, strict=True))
    assert [point.seeds for point in result.points] == [2, 2]
    with pytest.raises(InputError, match="trial 0 has no 'trial_seed'"):
        from_optuna(study, seed="trial_seed", where={} if attribute else {"seed": 0})


def test_repeated_rates_count_as_seeds_and_repeated_seeds_are_left_out():
    study = filled(parabola, [{"lr": lr} for lr in (0.001, 0.01, 0.1, 0.01)])
    assert [point.seeds for point in from_optuna(study).points] == [1, 2, 1]
    ours = optuna.create_study()
    for lr in (0.01, 0.1, 0.1):
        ours.enqueue_trial({"lr": lr})
    ours.optimize(to_optuna(slope(), 0.001, 1.0), n_trials=3)
    result = from_optuna(ours)
    assert [point.seeds for point in result.points] == [1, 1]
    assert "1 repeated" in result.reason


def test_a_study_that_maximizes_needs_a_loss():
    def accuracy(trial):
        return 1 - 0.1 * (parabola(trial) - 1)

    study = filled(accuracy, [{"lr": lr} for lr in (0.001, 0.01, 0.1)], direction="maximize")
    with pytest.raises(InputError, match=r"maximizes.*loss=lambda accuracy: 1 - accuracy"):
        from_optuna(study)
    result = from_optuna(study, loss=lambda value: 1 - value)
    assert result.best.lr == 0.01
    assert [point.loss for point in result.points] == pytest.approx([0.1, 0, 0.1])
    assert (result.basin.low, result.basin.high) == pytest.approx((0.01, 0.01))


def test_bad_input_is_one_sentence():
    study = filled(parabola, [{"lr": 0.01}])
    several = optuna.create_study(directions=["minimize", "minimize"])
    for wrong, arguments, said in (
        ("study", {}, "study must be an optuna.Study, not a str"),
        (several, {}, "one objective, not 2"),
        (optuna.create_study(), {}, "lr must name a parameter of the study"),
        (study, {"lr": "rate"}, "not 'rate'; it has 'lr'"),
        (study, {"where": {"lr": 0.01}}, "leave the learning rate"),
        (study, {"loss": 3}, "loss must be a function"),
        (study, {"tolerance": 0}, "tolerance must be greater than 0"),
        (study, {"untrained": math.nan}, "untrained must be finite"),
    ):
        with pytest.raises(InputError, match=said):
            from_optuna(wrong, **arguments)
    for arguments, said in (
        ({"trial": 3}, "trial must be a surefoot.Trial"),
        ({"low": 0}, "low must be a finite learning rate"),
        ({"high": 1e-9}, "high must be at least low"),
        ({"report_every": 0}, "report_every must be at least 1"),
    ):
        with pytest.raises(InputError, match=said):
            to_optuna(**{"trial": slope(), "low": 0.01, "high": 1.0, **arguments})


def test_an_exception_of_the_users_code_reaches_optuna():
    def raising(model, batch):
        raise ZeroDivisionError("mine")

    trial = sf.Trial(
        model=lambda: torch.nn.Linear(1, 1),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=[torch.ones(1, 1)],
        objective=raising,
        validate=lambda model: 1.0,
        steps=3,
    )
    study = grid_study([0.1])
    with pytest.raises(ZeroDivisionError, match="mine"):
        study.optimize(to_optuna(trial, 0.01, 1.0))
    assert study.trials[0].state.name == "FAIL"


def test_without_optuna_it_says_what_to_install():
    code = (
        "import sys; sys.modules['optuna'] = None; import surefoot as sf\n"
        "try: sf.integrations.from_optuna(None)\n"
        "except sf.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install optuna" in done.stdout
