"""Loops as people write them, and what the optimizer had when it made each update."""

import copy

import torch

from surefoot import Scheduler


def sgd(*lrs, tensor=False, **options):
    """Return SGD over one parameter for each lr; one of them is enough for most."""
    groups = [
        {
            "params": [torch.nn.Parameter(torch.zeros(1))],
            "lr": torch.tensor(lr) if tensor else lr,
        }
        for lr in lrs or (1.0,)
    ]
    return torch.optim.SGD(groups, lr=lrs[0] if lrs else 1.0, **options)


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def used(optimizer, scheduler, updates, metrics=None):
    """Make updates and return the first group's rate in each."""
    seen = []
    for number in range(updates):
        seen.append(rates(optimizer)[0])
        optimizer.step()
        if metrics is None:
            scheduler.step()
        else:
            scheduler.step(metrics[number])
    return seen


def saved(make, updates, *lrs):
    """Return the states of optimizer and scheduler after some updates, as a checkpoint has them."""
    optimizer = sgd(*lrs)
    scheduler = make(optimizer)
    used(optimizer, scheduler, updates)
    return copy.deepcopy(optimizer.state_dict()), copy.deepcopy(scheduler.state_dict())


def ours(plan, total=None, **options):
    """Return a function from an optimizer to our scheduler."""
    return lambda optimizer: Scheduler(optimizer, plan, total=total, **options)
