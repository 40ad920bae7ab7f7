"""``diagnose`` on real trainings, and on logs of every kind."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import surefoot as sf
from surefoot import Curve, RunLog
from surefoot.errors import LogError

DIGITS = load_digits()
IMAGES = torch.tensor(DIGITS.data, dtype=torch.float32) / 16
LABELS = torch.tensor(DIGITS.target)


def train(folder, lr, *, steps=300, every=10):
    """Train the small classifier of the example, watched."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    with sf.watch(model, optimizer, to=folder, every=every) as watch:
        for _ in range(steps):
            rows = torch.randint(0, len(LABELS), (64,), generator=generator)
            loss = nn.functional.cross_entropy(model(IMAGES[rows]), LABELS[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss)
    return watch.path


@pytest.mark.parametrize(
    ("lr", "code", "direction"),
    [
        (1e-5, "LR203", "raise"),
        (1e-4, "LR203", "raise"),
        (0.05, None, None),
        (0.1, None, None),
        (3.0, "LR202", "lower"),
        (1e6, "LR201", "lower"),
    ],
)
def test_a_real_training_gets_the_verdict_that_its_rate_deserves(lr, code, direction, tmp_path):
    diagnosis = sf.diagnose(train(tmp_path / "run", lr))
    assert [verdict.code for verdict in diagnosis] == ([] if code is None else [code])
    assert diagnosis.healthy is (code is None)
    assert diagnosis.run == "run"
    for verdict in diagnosis:
        assert verdict.direction == direction
        assert verdict.remedy.action == f"{direction}_lr"
    if code is None:
        assert diagnosis.reason.startswith("Healthy: the loss fell from")
        assert abs(diagnosis.lr_over_best_log10) < 1


def test_the_estimate_grows_with_the_rate(tmp_path):
    estimates = [
        sf.diagnose(train(tmp_path / str(lr), lr, steps=40)).lr_over_best for lr in (1e-4, 1e-2, 1)
    ]
    assert estimates == sorted(estimates)


def test_a_folder_of_many_runs_gives_a_list_with_one_each(tmp_path):
    for name, lr in (("b/low", 1e-5), ("a", 0.1)):
        train(tmp_path / name, lr, steps=100)
    diagnoses = sf.diagnose(tmp_path)
    assert [diagnosis.run for diagnosis in diagnoses] == ["a", "b/low"]
    assert isinstance(sf.diagnose(tmp_path / "a"), sf.Diagnosis)
    assert sf.diagnose(str(tmp_path / "a")).run == "a"


def test_a_folder_that_holds_one_run_is_that_run(tmp_path):
    train(tmp_path / "runs" / "only", 0.1, steps=100)
    assert sf.diagnose(tmp_path / "runs").run == "only"


def test_a_run_without_a_loss_among_others_is_not_judged_and_says_why(tmp_path):
    train(tmp_path / "good", 0.1, steps=100)
    (tmp_path / "other.csv").write_text("step,accuracy\n0,0.5\n1,0.6\n")
    good, other = sf.diagnose(tmp_path)
    assert (good.healthy, other.healthy, other.judged) == (True, False, False)
    assert "it records accuracy, and no training loss" in other.reason
    (tmp_path / "third.csv").write_text("step,accuracy\n0,0.5\n1,0.6\n")
    with sf.RunWriter(tmp_path / "alone" / "a") as writer:
        writer.add("accuracy", 0, 0.5)
    with sf.RunWriter(tmp_path / "alone" / "b") as writer:
        writer.add("accuracy", 0, 0.5)
    with pytest.raises(LogError, match="None of the 2 runs"):
        sf.diagnose(tmp_path / "alone")


def test_a_warm_up_and_decay_is_healthy(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = sf.Scheduler(optimizer, "warmup(200) >> cosine(floor=0.1)", total=600)
    generator = torch.Generator().manual_seed(0)
    with sf.watch(model, optimizer, to=tmp_path / "run") as watch:
        for _ in range(600):
            rows = torch.randint(0, len(LABELS), (64,), generator=generator)
            loss = nn.functional.cross_entropy(model(IMAGES[rows]), LABELS[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            watch.step(loss)
    diagnosis = sf.diagnose(watch.path)
    assert diagnosis.healthy
    assert abs(diagnosis.lr_over_best_log10) < 1


@pytest.mark.parametrize("what", [5, None, ["runs"]])
def test_what_is_no_run_is_refused(what):
    with pytest.raises(sf.InputError, match="run must be a path or a RunLog"):
        sf.diagnose(what)


def test_a_csv_file_is_read(tmp_path):
    path = tmp_path / "slow.csv"
    rows = [f"{t},{2 - 0.005 * t}" for t in range(100)]
    path.write_text("\n".join(["step,train/loss", *rows]))
    diagnosis = sf.diagnose(path)
    assert (diagnosis.run, diagnosis.verdicts[0].code) == ("slow", "LR203")


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        ({"accuracy": Curve([0], [1.0])}, "mine: it records accuracy, and no training loss"),
        ({}, "it records nothing"),
    ],
)
def test_a_log_without_loss_is_refused(curves, said):
    with pytest.raises(LogError, match=said):
        sf.diagnose(RunLog("mine", curves))


def test_a_path_to_nothing_is_refused(tmp_path):
    with pytest.raises(LogError, match="does not exist"):
        sf.diagnose(tmp_path / "nothing")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(LogError, match="is not the folder of one run"):
        sf.diagnose(tmp_path)


@pytest.mark.parametrize("n", [499, 500, 20_000])
def test_the_loss_is_kept_for_drawing_thinned_but_with_its_spikes(n):
    losses = [1.0 + 1 / (1 + t) for t in range(n)]
    losses[n // 2] = 50.0
    kept = sf.diagnose(RunLog("long", {"loss": Curve(range(n), losses)})).loss
    assert len(kept) <= 510
    assert kept.values.max() == 50.0
    assert kept.steps[-1] == n - 1


def test_a_loss_of_nan_alone_says_so():
    diagnosis = sf.diagnose(RunLog("nan", {"loss": Curve(range(40), [math.nan] * 40)}))
    assert diagnosis.label == "loss never finite"
    assert math.isnan(diagnosis.lr_over_best)
