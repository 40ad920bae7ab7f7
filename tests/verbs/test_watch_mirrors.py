"""The same values where people already look."""

import math
import sys

import pytest
import torch

import surefoot as sf
from surefoot import InputError
from surefoot._watch.live import _Means
from surefoot.errors import MissingExtraError
from tests.exact import training, update

# TensorBoard imports what warns of itself
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def run(watch, model, optimizer, count=30):
    for number in range(count):
        watch.step(update(model, optimizer))
        if number % 10 == 9:
            watch.validation(2.0 / (number + 1))


def test_tensorboard_gets_the_values_of_the_record_under_their_usual_names(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model, optimizer = training()
    with sf.watch(
        model, optimizer, to=tmp_path / "run", every=3, mirror=["tensorboard"], tags={"batch": 16}
    ) as watch:
        run(watch, model, optimizer)
    log = sf.read(tmp_path / "run")
    assert log.source.endswith("run")
    assert log.tags["batch"] == 16
    events = accumulator.EventAccumulator(str(tmp_path / "run"), {"scalars": 0}).Reload()
    names = {"loss": "train/loss", "validation_loss": "val/loss", "lr": "train/lr"}
    names |= {name: f"train/{name}" for name in log.names if name not in names}
    assert set(events.Tags()["scalars"]) == set(names.values())
    for ours, theirs in names.items():
        found = events.Scalars(theirs)
        assert [each.step for each in found] == log[ours].steps.tolist()
        values = torch.tensor(log[ours].values).float()
        assert torch.equal(torch.tensor([each.value for each in found]), values)
    files = [path for path in (tmp_path / "run").iterdir() if "tfevents" in path.name]
    again = sf.read(files[0])
    for name in ("loss", "validation_loss", "lr", "grad_norm", "update_ratio"):
        assert again[name].steps.tolist() == log[name].steps.tolist()


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ("tensorboard", "mirror must be a list of names"),
        (
            ["tensorbord"],
            "mirror must hold names among tensorboard, wandb, mlflow, not 'tensorbord'",
        ),
        ([3], "not 3"),
    ],
)
def test_a_mirror_that_there_is_not_is_refused(mirror, said, tmp_path):
    model, optimizer = training()
    with pytest.raises(InputError, match=said):
        sf.watch(model, optimizer, to=tmp_path / "run", mirror=mirror)
    assert not (tmp_path / "run").exists()


def test_a_mirror_whose_package_is_missing_says_how_to_get_it(tmp_path, monkeypatch):
    for name in [each for each in sys.modules if each.split(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb", None)
    model, optimizer = training()
    with pytest.raises(MissingExtraError, match="pip install wandb"):
        sf.watch(model, optimizer, to=tmp_path / "run", mirror=["wandb"])
    assert not optimizer._optimizer_step_pre_hooks


def test_a_mirror_that_fails_is_given_up_and_the_record_goes_on(tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def full(*_arguments):
        raise OSError("disk full")

    model, optimizer = training()
    watch = sf.watch(model, optimizer, to=tmp_path / "run", mirror=["tensorboard"])
    monkeypatch.setattr(SummaryWriter, "add_scalar", full)

    def train():
        run(watch, model, optimizer, 60)
        watch.close()

    with pytest.warns(RuntimeWarning, match="failed and is given up.*OSError: disk full") as warned:
        train()
    assert len(warned) == 1
    assert len(sf.read(tmp_path / "run")["loss"]) == 60


def test_the_latest_values_are_shown_live_on_standard_error(tmp_path, capsys):
    model, optimizer = training()
    with sf.watch(model, optimizer, to=tmp_path / "run", every=2, show=True) as watch:
        run(watch, model, optimizer)
    out, shown = capsys.readouterr()
    assert not out
    assert "run · update 29" in shown
    for name in ("loss", "validation_loss", "lr", "grad_norm", "update_ratio", "alpha"):
        assert name in shown
    assert f"{sf.read(tmp_path / 'run')['loss'].values[-1]:.4g}" in shown
    assert any(bar in shown for bar in "▁▂▃▄▅▆▇█")


def test_a_rate_that_stays_is_a_level_line():
    curve = _Means()
    for _ in range(400):
        curve.add(3e-3)
    assert set(curve.line()) == {"▁"}
    curve.add(math.nan)
    assert math.isnan(curve.last)
    assert set(curve.line()) == {"▁"}
