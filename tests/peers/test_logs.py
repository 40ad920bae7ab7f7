"""Logs as their own tools write them."""

import json

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import surefoot as sf
from surefoot.records import find_runs

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, _index):
        loss = (self.line(batch[0]) - batch[1]).square().mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.seen.append(loss.item())
        return loss

    def validation_step(self, batch, _index):
        self.log("val_loss", (self.line(batch[0]) - batch[1]).square().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def test_the_csv_of_lightning(tmp_path):
    x = torch.randn(24, 3)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)
    model = Line()
    L.Trainer(
        max_epochs=3,
        logger=CSVLogger(tmp_path, flush_logs_every_n_steps=5),
        callbacks=[LearningRateMonitor()],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
    ).fit(model, loader, loader)
    (run,) = find_runs(tmp_path)
    log = sf.read(run)
    assert log["loss"].steps.tolist() == list(range(18))
    assert log["loss"].values == pytest.approx(model.seen)
    assert log.tags["names"]["loss"] == "train_loss_step"
    assert len(log["validation_loss"]) == 3
    assert set(log["lr"].values) == {0.1}
    assert log.unit == "update"
    assert set(log["epoch"].values) == {0, 1, 2}


def test_the_state_of_hugging_faces_trainer(tmp_path):
    config = GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=1,
                        bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM")  # fmt: skip
    tokens = torch.arange(48 * 8).reshape(48, 8) % 16
    texts = [{"input_ids": row, "labels": row} for row in tokens]
    trainer = Trainer(
        GPT2LMHeadModel(config),
        TrainingArguments(
            str(tmp_path / "out"), max_steps=12, logging_steps=2, save_steps=6, eval_steps=6,
            eval_strategy="steps", report_to=[], use_cpu=True, per_device_train_batch_size=4,
            disable_tqdm=True,
        ),
        train_dataset=texts,
        eval_dataset=texts[:8],
    )  # fmt: skip
    trainer.train()
    history = trainer.state.log_history
    log = sf.read(tmp_path / "out")
    assert find_runs(tmp_path) == (tmp_path / "out",)
    names = {"lr": "learning_rate", "validation_loss": "eval_loss"}
    for ours in ("loss", "lr", "validation_loss", "grad_norm"):
        theirs = names.get(ours, ours)
        expected = [(row["step"], row[theirs]) for row in history if theirs in row]
        assert list(zip(*(part.tolist() for part in log[ours]), strict=True)) == expected
    assert log.tags["max_steps"] == 12


def test_the_logs_of_keras(tmp_path):
    import keras

    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(
        x, x.sum(1), validation_split=0.25, epochs=4, verbose=0,
        callbacks=[keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))],
    )  # fmt: skip
    (tmp_path / "history.json").write_text(json.dumps(history.history))
    for file in ("log.csv", "history.json"):
        log = sf.read(tmp_path / file)
        assert log.unit == "epoch"
        assert log["loss"].steps.tolist() == [0, 1, 2, 3]
        assert log["loss"].values == pytest.approx(history.history["loss"])
        assert log["validation_loss"].values == pytest.approx(history.history["val_loss"])
