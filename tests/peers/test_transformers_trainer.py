"""``transformers.Trainer(optimizers=(optimizer, scheduler))`` on a tiny model made here."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from surefoot import Scheduler
from surefoot.errors import StateError
from surefoot.schedules import cosine, hold, plateau, warmup

UPDATES = 12
PLAN = warmup(3) >> cosine(floor=0.1)
EXPECTED = [0.01 * factor for factor in PLAN.resolve(UPDATES).values()]


class Rates(TrainerCallback):
    """What the optimizer has when it makes each update."""

    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, optimizer, **kwargs):
        self.seen.append(optimizer.param_groups[0]["lr"])


def model():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=16,
        n_positions=8,
        n_embd=8,
        n_layer=1,
        n_head=1,
        bos_token_id=0,
        eos_token_id=0,
        loss_type="ForCausalLM",
    )
    return GPT2LMHeadModel(config)


def texts(count=48):
    tokens = torch.arange(count * 8).reshape(count, 8) % 16
    return [{"input_ids": row, "labels": row} for row in tokens]


def trainer(folder, rates, plan=PLAN, total=UPDATES, *, control=None, **options):
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = Scheduler(optimizer, plan, total=total, control=control)
    options = {"max_steps": total, "save_strategy": "no", **options}
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        use_cpu=True,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **options,
    )
    return Trainer(
        net,
        arguments,
        train_dataset=texts(),
        eval_dataset=texts(8),
        optimizers=(optimizer, scheduler),
        callbacks=[rates],
    )


def test_each_update_uses_the_rate_of_the_schedule(tmp_path):
    rates = Rates()
    done = trainer(tmp_path, rates)
    done.train()
    assert rates.seen == EXPECTED
    assert done.lr_scheduler.updates == UPDATES
    logged = [entry["learning_rate"] for entry in done.state.log_history if "loss" in entry]
    assert logged == pytest.approx(EXPECTED)  # taken before the step


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_that_goes_on_from_a_checkpoint_uses_the_same_rates(tmp_path, accumulation):
    options = {"save_strategy": "steps", "save_steps": 5}
    options["gradient_accumulation_steps"] = accumulation
    whole = Rates()
    trainer(tmp_path, whole, **options).train()
    assert whole.seen == EXPECTED
    rest = Rates()
    resumed = trainer(tmp_path, rest, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert rest.seen == EXPECTED[5:]
    assert resumed.lr_scheduler.updates == UPDATES


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    trainer(tmp_path, Rates(), save_strategy="steps", save_steps=5).train()
    longer = trainer(tmp_path, Rates(), total=24)
    with pytest.raises(StateError, match="total: checkpoint 12, here 24"):
        longer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))


def test_control_by_the_evaluation_loss(tmp_path):
    class Observe(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, lr_scheduler, **kwargs):
            lr_scheduler.observe(1.0)  # in earnest: metrics["eval_loss"]
            assert metrics["eval_loss"] > 0

    rates = Rates()
    done = trainer(
        tmp_path,
        rates,
        hold(),
        control=plateau(factor=0.5, patience=2),
        eval_strategy="steps",
        eval_steps=2,
    )
    done.add_callback(Observe())
    done.train()
    # Evaluations after updates 2, 4, 6: the third halves the rate; the fifth halves it again.
    assert rates.seen == [0.01] * 6 + [0.005] * 4 + [0.0025] * 2
