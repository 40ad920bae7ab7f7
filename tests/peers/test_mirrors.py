"""Mirrors of a watch in the installed W&B (offline) and MLflow (files)."""

import pytest
import torch
from torch import nn

import surefoot as sf

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def watched(folder, mirror, **options):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(16, 4)
    with sf.watch(model, optimizer, to=folder, every=5, mirror=[mirror], **options) as watch:
        for number in range(40):
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss)
            if number % 20 == 19:
                watch.validation(loss)
    return sf.read(watch.path)


def test_wandb_offline_holds_the_values_of_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    log = watched(tmp_path / "run", "wandb", tags={"batch": 16})
    (run_file,) = tmp_path.rglob("*.wandb")
    mirrored = sf.read(run_file)
    assert mirrored.tags["batch"] == 16
    assert mirrored.tags["names"]["loss"] == "train/loss"
    for name in ("loss", "lr", "grad_norm", "update_ratio", "validation_loss"):
        assert mirrored[name] == log[name]


def test_a_wandb_run_of_the_user_is_used_and_left_open(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=str(tmp_path))
    watched(tmp_path / "run", "wandb")
    assert wandb.run is run
    run.log({"mine": 1.0})
    run.finish()
    (run_file,) = tmp_path.rglob("*.wandb")
    assert "mine" in sf.read(run_file)


def test_mlflow_holds_the_values_of_the_record(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    log = watched(tmp_path / "run", "mlflow", tags={"batch": 16})
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["surefoot.batch"] == "16"
    for ours, theirs in {"loss": "train/loss", "grad_norm": "train/grad_norm"}.items():
        found = sorted(
            (each.step, each.value) for each in client.get_metric_history(run.info.run_id, theirs)
        )
        assert [step for step, _ in found] == log[ours].steps.tolist()
        assert [value for _, value in found] == log[ours].values.tolist()
    again = sf.read(tmp_path / "mlruns" / "0" / run.info.run_id)
    assert again.tags["run_name"] == "run"
    for name in ("loss", "lr", "grad_norm", "validation_loss"):
        assert again[name] == log[name]
