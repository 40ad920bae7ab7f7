"""What a scheduler costs, side by side with others in one process: steps, values, graphs.

Times are CPU time, the least of many interleaved rounds, with the median beside it; ratios are of
the least times. Peers that are not installed are said so.
"""

import importlib.util
import shutil
import statistics
import sys
import time
import warnings
from types import ModuleType

import torch
from torch import nn
from torch.optim import lr_scheduler

import surefoot as sf
from surefoot.schedules import cosine, hold, linear, plateau, warmup

ROUNDS = 24
WARMUP, TOTAL = 1000, 1_000_000
PLAN = warmup(WARMUP) >> cosine()
VALUES = 1_000_000
SHARE = 20  # torch is stepped for a 20th of the values, and its time multiplied


def optimizer(count, *, tensor=False):
    lrs = [torch.tensor(0.1) if tensor else 0.1 for _ in range(count)]
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.1)


def ours(made):
    return sf.Scheduler(made, PLAN, total=TOTAL).step


def ours_used(made):
    """Ours after a late group and a checkpoint."""
    scheduler = sf.Scheduler(made, PLAN, total=TOTAL)
    del made.param_groups[-1]["initial_lr"]  # as a group is that was added later
    scheduler.step()
    scheduler.load_state_dict(scheduler.state_dict())
    made.load_state_dict(made.state_dict())
    return scheduler.step


def ours_controlled(made):
    return sf.Scheduler(made, PLAN, total=TOTAL, control=plateau()).step


def ours_three_fields(made):
    plans = {"lr": PLAN, "weight_decay": linear(), "momentum": hold()}
    return sf.Scheduler(made, plans, total=TOTAL).step


def ours_lists(made):
    """Ours with another schedule for each group."""
    plans = [warmup(WARMUP + place) >> cosine() for place in range(len(made.param_groups))]
    return sf.Scheduler(made, plans, total=TOTAL).step


def ours_scaler(made):
    """Ours with a scaler, whose hook has seen a step before each call."""
    scaler = torch.amp.GradScaler("cpu")
    scheduler = sf.Scheduler(made, PLAN, total=TOTAL, scaler=scaler)
    saw, step = scheduler._skips._saw, scheduler.step
    return lambda: (saw(made), step())


def ours_observing(made):
    """Ours with a metric at each step, which soon stalls: then plateau has most to do, a line."""
    step = sf.Scheduler(made, PLAN, total=TOTAL, control=plateau()).step
    metrics = (1 / count for count in range(1, 10**9))
    return lambda: step(next(metrics))


def torch_lambda(made):
    curve = PLAN.resolve(TOTAL)
    return lr_scheduler.LambdaLR(made, curve).step


def torch_sequential(made):
    first = lr_scheduler.LinearLR(made, 1e-3, total_iters=WARMUP)
    second = lr_scheduler.CosineAnnealingLR(made, TOTAL - WARMUP)
    return lr_scheduler.SequentialLR(made, [first, second], [WARMUP]).step


def transformers_cosine(made):
    from transformers import get_cosine_schedule_with_warmup

    return get_cosine_schedule_with_warmup(made, WARMUP, TOTAL).step


def timm_cosine(made):
    from timm.scheduler import CosineLRScheduler

    scheduler = CosineLRScheduler(made, TOTAL, warmup_t=WARMUP, t_in_epochs=False)
    counter = iter(range(1, 10**9))
    return lambda: scheduler.step_update(next(counter))


REFERENCE = "Transformers cosine"
RIVALS = {
    REFERENCE: transformers_cosine,
    "torch LambdaLR of our factors": torch_lambda,
    "torch SequentialLR(linear, cosine)": torch_sequential,
    "timm cosine": timm_cosine,
    "surefoot": ours,
    "surefoot, late group and loaded": ours_used,
    "surefoot with control": ours_controlled,
    "surefoot, three fields": ours_three_fields,
    "surefoot, a schedule for each group": ours_lists,
    "surefoot with scaler": ours_scaler,
    "surefoot, a metric at each step": ours_observing,
}
NEEDS = {"Transformers cosine": "transformers", "timm cosine": "timm"}
CASES = (("1 group", 1, False, 2000), ("100 groups", 100, False, 100),
         ("100 tensor-lr groups", 100, True, 20))  # fmt: skip


def installed():
    missing = [name for name, module in NEEDS.items() if importlib.util.find_spec(module) is None]
    for name in missing:
        print(f"({NEEDS[name]} is not installed: no row for {name})")
    spec = importlib.util.find_spec("timm")
    if spec and not importlib.util.find_spec("torchvision"):
        package = ModuleType("timm")  # its schedulers alone, without models that need torchvision
        package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations)
        sys.modules["timm"] = package
    return {name: make for name, make in RIVALS.items() if name not in missing}


def timed(call, repeats):
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def steps():
    rivals = installed()
    for title, count, tensor, repeats in CASES:
        calls = {name: make(optimizer(count, tensor=tensor)) for name, make in rivals.items()}
        for call in calls.values():
            timed(call, WARMUP + 1 if count == 1 else 50)
        times = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                times[name].append(timed(call, repeats))
        reference = min(times.get(REFERENCE, times["surefoot"]))
        print(f"\n{title}: one step in µs, least (median), and ÷ {REFERENCE}")
        for name, taken in times.items():
            least, middle = min(taken) * 1e6, statistics.median(taken) * 1e6
            print(f"  {name:36} {least:8.2f} ({middle:8.2f})  {least / reference / 1e6:5.2f}")


def values():
    plan = PLAN.resolve(VALUES)
    made = [timed(plan.values, 1) for _ in range(ROUNDS)]
    call = torch_sequential(optimizer(1))
    stepped = [timed(call, VALUES // SHARE // 5) * VALUES for _ in range(5)]
    least, middle = min(made) * 1e3, statistics.median(made) * 1e3
    print(f"\n{VALUES:,} values: {least:.1f} ms (median {middle:.1f})")
    rest = min(stepped) * 1e3
    print(f"  stepping torch's SequentialLR: {rest:.0f} ms, {rest / least:.0f} times as long")


def graphs():
    compilers = ["eager"] + (["inductor"] if shutil.which("g++") else [])
    betas = {"lr": PLAN, "betas.0": linear(floor=0.9)}
    tensors = (torch.tensor(0.9), torch.tensor(0.999))
    cases = {
        "lr, tensor": ({"lr": PLAN}, {"lr": torch.tensor(1e-3)}),
        "lr, float": ({"lr": PLAN}, {"lr": 1e-3}),
        "lr and betas, tensors": (betas, {"lr": torch.tensor(1e-3), "betas": tensors}),
        "lr and betas, float betas": (betas, {"lr": torch.tensor(1e-3)}),
    }
    print(f"\ngraphs of a compiled AdamW step over 200 updates: {', '.join(compilers)}")
    for name, (plans, options) in cases.items():
        counts = [count_graphs(plans, options, backend) for backend in compilers]
        print(f"  {name:36} {', '.join(map(str, counts))}")


def count_graphs(plans, options, backend):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    parameter = nn.Parameter(torch.ones(3))
    made = torch.optim.AdamW([parameter], **options)
    made.step = torch.compile(made.step, backend=backend)
    scheduler = sf.Scheduler(made, plans, total=2000)
    for _ in range(200):
        parameter.grad = torch.ones(3)
        made.step()
        scheduler.step()
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    steps()
    values()
    graphs()
