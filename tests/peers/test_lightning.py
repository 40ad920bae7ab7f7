"""Lightning: a scheduler from ``configure_optimizers``, with its checkpoints and its monitor."""

import csv
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from surefoot import Scheduler
from surefoot.errors import StateError
from surefoot.schedules import cosine, hold, plateau, warmup

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning",
)
BATCHES, EPOCHS = 6, 3
TOTAL = BATCHES * EPOCHS
PLAN = warmup(4) >> cosine(floor=0.1)


class Line(L.LightningModule):
    """A straight line, and the two things that people return with a scheduler."""

    def __init__(self, schedules=PLAN, total=TOTAL, **config):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.schedules, self.total, self.config = schedules, total, config
        self.control = self.config.pop("control", None)

    def training_step(self, batch, index):
        x, y = batch
        return (self.line(x) - y).square().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = Scheduler(optimizer, self.schedules, total=self.total, control=self.control)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", **self.config},
        }


class Judged(Line):
    """The same, with a validation loss that never gets any better."""

    def validation_step(self, batch, index):
        self.log("val_loss", 1.0)


class Rates(Callback):
    """What the optimizer has when it makes each update."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen.append(optimizer.param_groups[0]["lr"])


def loader():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * BATCHES, 3, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=4)


def trainer(folder, *callbacks, epochs=EPOCHS, **options):
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[*callbacks],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **{"logger": False, "enable_checkpointing": False, **options},
    )


def expected(plan=PLAN, total=TOTAL):
    return [0.1 * factor for factor in plan.resolve(total).values()]


def test_each_update_uses_the_rate_of_the_schedule_and_the_monitor_logs_it(tmp_path):
    rates, logger = Rates(), CSVLogger(tmp_path)
    monitor = LearningRateMonitor(logging_interval="step")
    trainer(tmp_path, rates, monitor, logger=logger).fit(Line(), loader())
    assert rates.seen == expected()
    lines = Path(logger.log_dir, "metrics.csv").read_text().splitlines()
    rows = [row for row in csv.DictReader(lines) if row.get("lr-SGD")]
    logged = {int(row["step"]): float(row["lr-SGD"]) for row in rows}
    assert logged == pytest.approx(dict(enumerate(expected())))


@pytest.mark.parametrize("at", [4, 6, 11, 12])
def test_a_run_that_goes_on_from_a_checkpoint_uses_the_same_rates(tmp_path, at):
    first = trainer(tmp_path, part := Rates(), max_steps=at)
    first.fit(Line(), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(tmp_path, rest := Rates()).fit(Line(), loader(), ckpt_path=tmp_path / "half.ckpt")
    assert part.seen == expected()[:at]
    assert rest.seen[:2] == expected()[at : at + 2]
    # From a checkpoint within an epoch Lightning itself may make fewer batches than were left.
    assert rest.seen == expected()[at : at + len(rest.seen)]
    assert len(rest.seen) == TOTAL - at or at % BATCHES


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    first = trainer(tmp_path, max_steps=4)
    first.fit(Line(), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    with pytest.raises(StateError, match="total: checkpoint 18, here 36"):
        trainer(tmp_path, epochs=6).fit(Line(total=36), loader(), ckpt_path=tmp_path / "half.ckpt")


def test_lightning_writes_checkpoints_of_it_by_itself(tmp_path):
    saver = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    trainer(tmp_path, saver, enable_checkpointing=True).fit(Line(), loader())
    kept = torch.load(tmp_path / "epoch=1.ckpt", weights_only=True)  # the state is JSON types
    assert kept["lr_schedulers"][0]["update"] == 2 * BATCHES


def test_control_by_a_metric_that_lightning_monitors(tmp_path):
    config = {"interval": "epoch", "reduce_on_plateau": True, "monitor": "val_loss"}
    model = Judged(hold(), 5, control=plateau(factor=0.5, patience=2), **config)
    rates = Rates()
    trainer(tmp_path, rates, epochs=5).fit(model, loader(), loader())
    by_epoch = rates.seen[::BATCHES]
    # The first epoch sets the mark, two without progress halve the rate.
    assert by_epoch == [0.1, 0.1, 0.1, 0.05, 0.05]
    assert len(set(rates.seen[:BATCHES])) == 1


def test_updates_are_counted_and_epochs_observed(tmp_path):
    class Observing(Judged):
        def on_validation_epoch_end(self):
            self.lr_schedulers().observe(1.0)

    plan = warmup(4) >> hold()
    model = Observing(plan, 5 * BATCHES, control=plateau(factor=0.5, patience=2))
    trainer(tmp_path, rates := Rates(), epochs=5).fit(model, loader(), loader())
    factors = plan.resolve(5 * BATCHES).values()
    lowered = [1.0] * 3 * BATCHES + [0.5] * 2 * BATCHES
    assert rates.seen == [0.1 * f * c for f, c in zip(factors, lowered, strict=True)]
