"""Checkpoints: exact at every update in every order, and a table of who wins."""

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from surefoot import InputError, Scheduler, schedules
from surefoot.errors import StateError
from surefoot.schedules import cosine, hold, linear, plateau, step, warmup
from surefoot.schedules._nodes import NODES
from tests.schedules.strategies import closed

KINDS = """
warmup(7) >> hold(6)
warmup(7, start=0.1, shape="exponential") >> cosine(6, floor=0.1)
warmup(5, shape="cosine") >> hold(4) >> linear(4)
exponential_warmup(4, duration=13)
radam_warmup(0.99, duration=13)
constant(0.3, 13)
linear(13, floor=0.2)
polynomial(13, power=2)
cosine(13)
one_minus_sqrt(13, floor=0.1)
tanh(13)
step(3, drop=0.5, duration=13)
multi_step([3, 8], duration=13)
piecewise([[0, 0.5], ["4.5 updates", 1], [9, 0.1]], duration=13)
piecewise([[0, 0.5], [4, 1], [9, 0.1]], shape="cosine", duration=13)
exponential(13, floor=0.01)
exponential(13, gamma=0.9)
natural_exponential(0.1, duration=13)
inverse_time(0.5, duration=13)
inverse_sqrt(4, duration=13)
power(-0.5, 3, duration=13)
cyclic(4, duration=13)
cyclic(5, rise=0.3, decay=0.5, gamma=0.99, duration=13)
table([1, 0.5, 0.2], every=4, duration=13)
cosine(6) >> 0.5 * cosine(7)
warmup(4) * step(5, duration=13)
1.5 * linear(13)
cosine(2).repeat(3, growth=2, decay=0.5)
cosine(13).clip(0.2, 0.9)
cosine(13).staircase(3)
hold(13).branch(8, linear(5))
function("tests.engine.test_scheduler_resume:halved", duration=13)
""".strip().splitlines()


def halved(t):
    return 0.5 + 0.5**t


def read(text):
    return schedules.schedule(text, allow_functions=True)


def made(lr=0.1, decay=0.2):
    groups = [
        {"params": [nn.Parameter(torch.ones(1))], "lr": lr},
        {"params": [nn.Parameter(torch.ones(1))], "lr": 3 * lr, "weight_decay": decay / 2},
    ]
    return torch.optim.AdamW(groups, weight_decay=decay)


def held(optimizer):
    return [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]


def documented(build, saved):
    optimizer = made()
    scheduler = build(optimizer)
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    return optimizer, scheduler


def optimizer_first(build, saved):
    optimizer = made()
    optimizer.load_state_dict(saved["optimizer"])
    scheduler = build(optimizer)
    scheduler.load_state_dict(saved["scheduler"])
    return optimizer, scheduler


def seek_only(build, saved):
    optimizer = made()
    scheduler = build(optimizer)
    scheduler.seek(saved["scheduler"]["update"])
    return optimizer, scheduler


def scheduler_alone(build, saved):
    optimizer = made()
    scheduler = build(optimizer)
    scheduler.load_state_dict(saved["scheduler"])
    return optimizer, scheduler


ORDERS = (documented, optimizer_first, seek_only, scheduler_alone)


def assert_exact(plan, stop, order, more=3):
    """Stop after ``stop`` updates and go on from the checkpoint, and compare with not stopping."""

    def build(optimizer):
        return Scheduler(optimizer, {"lr": plan, "weight_decay": plan})

    optimizer = made()
    scheduler = build(optimizer)
    for _ in range(stop):
        scheduler.step()
    saved = {
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "scheduler": json.loads(json.dumps(scheduler.state_dict())),
    }
    resumed, other = order(build, saved)
    assert other.last_lr == scheduler.last_lr
    for _ in range(more):
        assert held(resumed) == held(optimizer)
        assert other.next_lr == scheduler.next_lr
        assert other.updates == scheduler.updates
        scheduler.step()
        other.step()
        assert other.last_lr == scheduler.last_lr


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("text", KINDS)
def test_a_resumed_run_is_exact_at_every_update(text, order):
    for stop in range(16):
        assert_exact(read(text), stop, order)


def test_no_kind_of_schedule_is_left_out():
    def kinds(node):
        return {node["type"]}.union(*(kinds(part) for part in node.get("parts", ())))

    assert set().union(*(kinds(read(text).to_dict()) for text in KINDS)) == set(NODES)


@settings(max_examples=150, deadline=None)
@given(plan=closed, share=st.floats(0, 1.1), order=st.sampled_from(ORDERS))
def test_a_resumed_run_of_any_schedule_is_exact(plan, share, order):
    assert_exact(plan, min(int(share * plan.total), 400), order)


# Who wins: the table of docs/scheduler.md, cell by cell

RATES = {"script": 0.1, "checkpoint": 0.2, "`base=`": 0.4}


def table():
    text = (Path(__file__).parents[2] / "docs" / "scheduler.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "scheduler built" in row[0]]
    return [
        (tuple(order.split(", ")), base == "given", choice, cell)
        for order, base, *cells in rows
        for choice, cell in zip(("error", "mine", "theirs"), cells, strict=True)
    ]


def resumed(order, rates, based, choice):
    """Return what the optimizer and the scheduler hold after ``order``, and a step more."""
    source = made(lr=rates["checkpoint"])
    writer = Scheduler(source, linear(10))
    writer.seek(4)
    saved = copy.deepcopy(source.state_dict())
    optimizer = made(lr=rates["script"])
    scheduler = None
    for act in order:
        if act == "scheduler built":
            base = rates["`base=`"] if based else None
            scheduler = Scheduler(optimizer, linear(10), base=base, on_mismatch=choice)
        elif act == "optimizer loaded":
            optimizer.load_state_dict(copy.deepcopy(saved))
        elif act == "scheduler loaded":
            scheduler.load_state_dict(writer.state_dict())
        else:
            assert act == "seek"
            scheduler.seek(4)
    return optimizer, scheduler


def test_the_table_has_a_cell_for_each_case():
    assert len({cell[:3] for cell in table()}) == len(table()) == 7 * 2 * 3


@pytest.mark.parametrize(("order", "based", "choice", "winner"), table())
def test_who_wins(order, based, choice, winner):
    if winner == "error":
        with pytest.raises(StateError, match=r"base of lr: checkpoint \[0.2, 0.6"):
            resumed(order, RATES, based, choice)
        return
    optimizer, scheduler = resumed(order, RATES, based, choice)
    expected = pytest.approx([RATES[winner], 3 * RATES[winner]], rel=1e-15)
    assert scheduler.base_lrs == expected
    for t in (4, 5):
        written = [base * linear(10)(t) for base in scheduler.base_lrs]
        assert [group["lr"] for group in optimizer.param_groups] == scheduler.next_lr == written
        scheduler.step()


@pytest.mark.parametrize(("order", "based", "choice"), [cell[:3] for cell in table()])
def test_nobody_has_to_win_where_the_bases_are_the_same(order, based, choice):
    optimizer, scheduler = resumed(order, dict.fromkeys(RATES, 0.1), based, choice)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.1 * linear(10)(4), 3 * 0.1 * linear(10)(4)]
    )
    assert scheduler.updates == 4


def test_the_choice_of_the_call_goes_before_that_of_the_constructor():
    saved = Scheduler(made(), linear(10)).state_dict()
    scheduler = Scheduler(made(), cosine(10), on_mismatch="theirs")
    with pytest.raises(StateError):
        scheduler.load_state_dict(saved, on_mismatch="error")
    scheduler.load_state_dict(saved, "mine")
    assert scheduler.schedules == {"lr": cosine(10)}
    scheduler.load_state_dict(saved)
    assert scheduler.schedules == {"lr": linear(10)}


def test_a_mismatch_is_told_line_by_line():
    saved = Scheduler(made(0.2), "warmup(2) >> cosine()", total=10, control=plateau(patience=1))
    scheduler = Scheduler(made(), ["warmup(2) >> cosine()", step(5)], total=20)
    with pytest.raises(StateError) as caught:
        scheduler.load_state_dict(saved.state_dict())
    first, *lines = str(caught.value).splitlines()
    assert first == "The checkpoint does not match this scheduler:"
    assert lines[0] == "  total: checkpoint 10, here 20"
    assert lines[1].startswith(
        "  schedule of lr: checkpoint warmup(2) >> cosine(8), here [warmup(2) >> cosine(18), step(5"
    )
    assert lines[2].startswith("  base of lr: checkpoint [0.2, 0.6")
    assert lines[3].startswith("  control: checkpoint plateau(")
    assert lines[3].endswith(", here none")
    assert "'mine'" in lines[4]
    assert "'theirs'" in lines[4]
    assert len(lines) == 6


def test_a_total_that_changes_only_the_rest_is_told_too():
    saved = Scheduler(made(), "linear(5, floor=0.1)", total=10).state_dict()
    with pytest.raises(StateError, match="total: checkpoint 10, here 20"):
        Scheduler(made(), "linear(5, floor=0.1)", total=20).load_state_dict(saved)


def test_after_an_error_nothing_has_changed():
    optimizer = made()
    scheduler = Scheduler(optimizer, linear(10), base=0.5)
    scheduler.seek(3)
    before = (scheduler.state_dict(), held(optimizer), scheduler.last_lr)
    saved = Scheduler(made(), {"lr": cosine(10), "weight_decay": linear(10)}).state_dict()
    for broken in (saved, {**saved, "base": {"lr": [1.0], "weight_decay": [1.0, 1.0]}}):
        with pytest.raises((StateError, InputError)):
            scheduler.load_state_dict(broken, "theirs" if broken is not saved else "error")
    assert (scheduler.state_dict(), held(optimizer), scheduler.last_lr) == before


def test_the_state_survives_torch_save_with_weights_only(tmp_path):
    scheduler = Scheduler(made(), [linear(10), cosine(10)], control=plateau())
    scheduler.step(3.0)
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert loaded == scheduler.state_dict() == json.loads(json.dumps(loaded))


def test_a_state_does_not_change_with_the_scheduler_it_came_from():
    scheduler = Scheduler(made(), linear(10), control=plateau())
    saved = scheduler.state_dict()
    before = copy.deepcopy(saved)
    scheduler.step(1.0)
    scheduler.step(2.0)
    assert saved == before


def test_an_optimizer_loaded_in_the_middle_of_a_run_changes_no_rate():
    optimizer = made()
    saved = copy.deepcopy(optimizer.state_dict())
    scheduler = Scheduler(optimizer, {"lr": linear(10), "weight_decay": linear(10)})
    scheduler.seek(4)
    before = held(optimizer)
    optimizer.load_state_dict(saved)  # from before there was a scheduler: no initial_lr in it
    assert held(optimizer) == before
    assert scheduler.base_lrs == pytest.approx([0.1, 0.3])


def test_a_late_group_that_waits_is_adopted_before_the_optimizer_is_loaded():
    one, other = made(), made()
    saved, loaded = Scheduler(one, linear(10)), Scheduler(other, linear(10))
    for optimizer in (one, other):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.7})
    saved.seek(5)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    loaded.load_state_dict(saved.state_dict())
    assert loaded.base_lrs == pytest.approx([0.1, 0.3, 0.7])
    assert held(one) == held(other)


def test_a_scheduler_that_is_gone_leaves_the_optimizer_alone():
    optimizer = made()
    saved = copy.deepcopy(optimizer.state_dict())
    scheduler = Scheduler(optimizer, linear(10))
    scheduler.seek(5)
    hooks = len(optimizer._optimizer_load_state_dict_post_hooks)
    del scheduler
    assert len(optimizer._optimizer_load_state_dict_post_hooks) == hooks - 1
    optimizer.load_state_dict(saved)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda pair: __import__("pickle").loads(
    __import__("pickle").dumps(pair))])  # fmt: skip
def test_a_copy_has_a_life_of_its_own(twin):
    optimizer = made()
    scheduler = Scheduler(optimizer, warmup(4) >> hold(6), base=0.5)
    scheduler.step()
    other, copied = twin((optimizer, scheduler))
    copied.step()
    other.load_state_dict(made().state_dict())
    assert copied.updates == 2
    assert copied.next_lr == [other.param_groups[0]["lr"], other.param_groups[1]["lr"]]
    assert copied.base_lrs == pytest.approx([0.5, 1.5])
    assert scheduler.updates == 1
    assert copied.optimizer is other
