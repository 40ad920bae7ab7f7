import copy
import math
import pickle

import pytest

from surefoot.errors import InputError
from surefoot.records import Curve, RunLog, RunWriter, read
from surefoot.records._tags import canonical_names

LOSS = Curve([0, 1, 5], [3.0, 2.0, float("nan")])


def test_canonical_names_come_first():
    curves = dict.fromkeys(
        ("b", "update_ratio", "a", "lr", "grad_norm", "loss", "validation_loss"), LOSS
    )
    log = RunLog("run", curves)
    assert log.names == ("loss", "validation_loss", "lr", "grad_norm", "update_ratio", "b", "a")
    assert tuple(log) == log.names
    assert len(log) == 7
    assert repr(log) == "RunLog('run', 7 curves, last step 5)"


def test_curves_are_found_under_both_names():
    log = RunLog("run", {"loss": LOSS}, {"names": {"loss": "train/loss"}})
    assert log["loss"] is log["train/loss"] is log.get("train/loss")
    assert "loss" in log
    assert "train/loss" in log
    assert "lr" not in log
    assert 3 not in log
    assert log.get("lr") is None
    with pytest.raises(InputError, match="The run 'run' has no curve 'lr'; it has loss"):
        log["lr"]


def test_names_that_are_no_mapping_do_no_harm():
    assert RunLog("run", {"loss": LOSS}, {"names": "x"}).get("x") is None


def test_an_empty_run():
    log = RunLog("run")
    assert (len(log), log.last_step, log.names) == (0, None, ())
    with pytest.raises(InputError, match="no curve 'loss'; it is empty"):
        log["loss"]
    assert RunLog("run", {"loss": Curve([], [])}).last_step is None
    assert (
        RunLog("run", {"loss": Curve([math.inf, 2], [1, 1]), "lr": Curve([1], [1])}).last_step == 2
    )


def test_a_log_is_a_value_of_its_own():
    curves, tags = {"loss": LOSS}, {"lr": 0.1}
    log = RunLog("run", curves, tags, notes=["a"])
    curves.clear()
    tags.clear()
    assert (log.names, log.tags, log.notes) == (("loss",), {"lr": 0.1}, ("a",))
    with pytest.raises(AttributeError):
        log.name = "other"
    with pytest.raises(InputError, match=r"curves\['loss'\] must be a Curve, not \[1, 2\]"):
        RunLog("run", {"loss": [1, 2]})


def test_round_trips():
    log = RunLog(
        "run", {"loss": LOSS, "lr": LOSS}, {"a": [1, None, {"b": 2.5}]}, "runs/run", ("note",)
    )
    for again in (
        RunLog.from_json(log.to_json()),
        pickle.loads(pickle.dumps(log)),
        copy.deepcopy(log),
    ):
        assert again == log
        assert again.names == log.names


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        *[
            (name, "loss")
            for name in (
                "loss",
                "train/loss",
                "train_loss",
                "Loss/train",
                "loss/train",
                "training_loss",
                "train_loss_step",
                "train/loss_epoch",
                "Train Loss",
                "epoch_loss",
                "total_loss",
                "trainLoss",
                "train-loss",
                "run-1 - train/loss",
                "Losses/train",
                "train.loss",
            )
        ],
        *[
            (name, "validation_loss")
            for name in (
                "val_loss",
                "val/loss",
                "eval/loss",
                "eval_loss",
                "Loss/val",
                "valid_loss",
                "validation_loss",
                "test/loss",
                "Loss/validation",
                "val_loss_epoch",
                "dev_loss",
                "valLoss",
            )
        ],
        *[
            (name, "lr")
            for name in (
                "lr",
                "learning_rate",
                "train/learning_rate",
                "lr-AdamW",
                "lr-AdamW/pg1",
                "lr/group0",
                "LR",
                "Learning Rate",
                "lr-SGD-1",
                "lr/pg0",
                "epoch_learning_rate",
                "learningRate",
                "lr_0",
            )
        ],
        *[
            (name, "grad_norm")
            for name in (
                "grad_norm",
                "train/grad_norm",
                "gradient_norm",
                "global_grad_norm",
                "grad_2.0_norm_total",
                "gradNorm",
            )
        ],
        ("train/update_ratio", "update_ratio"),
    ],
)
def test_foreign_names_are_recognised(name, canonical):
    assert canonical_names([name]) == {canonical: name}


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "train/box_loss",
        "loss_scale",
        "val/accuracy",
        "lr-AdamW-momentum",
        "lr-AdamW-weight_decay",
        "lr_scheduler",
        "train_val_loss",
        "grad_norm/layer1.weight",
        "glossary",
        "flr",
        "val_lr",
        "eval/grad_norm",
        "loss_1",
        "",
        "perplexity",
        "lr-decay",
        "norm",
        "run - ",
        "run-1 - train/loss__MIN",
    ],
)
def test_other_names_are_left_alone(name):
    assert canonical_names([name]) == {}


@pytest.mark.parametrize(
    ("names", "winner"),
    [
        (["train/loss", "loss"], {"loss": "loss"}),
        (["train_loss_epoch", "train_loss_step"], {"loss": "train_loss_step"}),
        (["test_loss", "val_loss", "eval_loss"], {"validation_loss": "val_loss"}),
        (["test/loss", "dev/loss"], {"validation_loss": "dev/loss"}),
        (["lr/group1", "lr/group0"], {"lr": "lr/group0"}),
        (["lr-AdamW/pg2", "lr-AdamW/pg1"], {"lr": "lr-AdamW/pg1"}),
        (["train/loss", "Loss/train"], {"loss": "train/loss"}),
        (["lr", "val_loss", "loss"], {"loss": "loss", "validation_loss": "val_loss", "lr": "lr"}),
    ],
)
def test_the_most_exact_name_wins(names, winner):
    assert list(canonical_names(names).items()) == list(winner.items())


def test_the_curves_of_a_run_are_made_when_they_are_asked_for(tmp_path, monkeypatch):
    with RunWriter(tmp_path) as writer:
        for step in range(10):
            writer.add_row(step, {"lr": 0.1, "train/loss": 1.0 / (step + 1), "x": 1.0})
    log = read(tmp_path)
    made = []
    monkeypatch.setattr(
        "surefoot.records.readers._surefoot.Curve", lambda *parts: made.append(1) or Curve(*parts)
    )
    assert (log.names, len(log), "loss" in log) == (("loss", "lr", "x"), 3, True)
    assert not made
    assert log["loss"] is log["train/loss"] is log.curves["loss"]
    assert len(made) == 1
    again = pickle.loads(pickle.dumps(log))
    assert again == log
    assert copy.deepcopy(log)["lr"] == log["lr"]
