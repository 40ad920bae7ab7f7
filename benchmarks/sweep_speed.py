"""How quick sweeps are, against plain torch, JAX, Optuna, Ray Tune; and auto against each way.

    python benchmarks/sweep_speed.py mlp | others | auto | peers

Medians of interleaved blocks with their range; CPU seconds of the process tree with one thread, or
seconds by the clock on all cores. The first block, which compiles, is not counted and told apart.
"""

import itertools
import os
import statistics
import sys
import time

import numpy as np
import torch
from sklearn import datasets
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

import surefoot as sf
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Fused

BLOCKS = 5


def of(kind, **options):
    return lambda model, lr: kind(model.parameters(), lr=lr, **options)


SGD = of(torch.optim.SGD, momentum=0.9)
ADAM = of(torch.optim.Adam)


def digits(batch=64):
    bunch = datasets.load_digits()
    x = torch.tensor(bunch.data, dtype=torch.float32) / 16
    y = torch.tensor(bunch.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return [(x[i], y[i]) for i in order.split(batch) if len(i) == batch]


def images(count=10):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(32, 1, 28, 28, generator=generator), torch.randint(10, (32,)))
        for _ in range(count)
    ]


def texts(count=10):
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(64, (2, 16, 32), generator=generator)) for _ in range(count)]


def mlp():
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def wide():
    return nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 49, 10),
    )


class Block(nn.Module):
    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        shape = (*x.shape[:2], 3, self.heads, x.shape[2] // self.heads)
        q, k, v = self.qkv(self.norms[0](x)).view(shape).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norms[1](x))


class Transformer(nn.Module):
    def __init__(self, words=64, width=64, length=32):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(Block(width), Block(width), nn.LayerNorm(width))
        self.head = nn.Linear(width, words)

    def forward(self, x):
        return self.head(self.blocks(self.words(x) + self.places)).flatten(0, 1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(64, 32), nn.LSTM(32, 64, batch_first=True)
        self.head = nn.Linear(64, 64)

    def forward(self, x):
        return self.head(self.lstm(self.words(x))[0]).flatten(0, 1)


def by_word(output, target):
    return cross_entropy(output, target.flatten())


TASKS = {
    "MLP": (mlp, digits, cross_entropy),
    "CNN": (cnn, images, cross_entropy),
    "transformer": (Transformer, texts, by_word),
    "wide MLP": (wide, digits, cross_entropy),
    "LSTM": (Recurrent, texts, by_word),
}


def trial_of(name, steps, optimizer=SGD):
    model, batches, loss = TASKS[name]
    return sf.Trial(
        model=model, optimizer=optimizer, loss=loss, train=batches(), steps=steps, name=name
    )


def one_by_one(trial, lrs):
    """Train as a user would write it, with plain torch."""
    found = []
    for lr in lrs:
        torch.manual_seed(0)
        model = trial.model()
        optimizer = trial.optimizer(model, lr)
        losses = []
        for inputs, targets in itertools.islice(itertools.cycle(trial.train), trial.steps):
            optimizer.zero_grad()
            loss = trial.loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        found.append(losses)
    return found


def with_jax(trial, lrs):
    """Return a function that trains all rates at once in JAX: vmap of the update, compiled."""
    import jax
    import optax
    from jax import numpy as jnp

    batches = [tuple(map(jnp.asarray, map(np.asarray, batch))) for batch in trial.train]
    adam = isinstance(trial.optimizer(trial.model(), 1.0), torch.optim.Adam)
    rule = optax.scale_by_adam() if adam else optax.trace(0.9)
    torch.manual_seed(0)
    start = [jnp.asarray(p.detach().numpy()) for p in trial.model().parameters()]
    rates = jnp.asarray(lrs)

    def loss_of(weights, batch):
        first, bias, last, end = weights
        hidden = jax.nn.relu(batch[0] @ first.T + bias)
        scores = jax.nn.log_softmax(hidden @ last.T + end)
        return -scores[jnp.arange(len(batch[1])), batch[1]].mean()

    def update(weights, state, lr, batch):
        loss, grads = jax.value_and_grad(loss_of)(weights, batch)
        moves, state = rule.update(grads, state)
        return [w - lr * m for w, m in zip(weights, moves, strict=True)], state, loss

    step = jax.jit(jax.vmap(update, in_axes=(0, 0, 0, None)), donate_argnums=(0, 1))

    def train():
        weights = [jnp.broadcast_to(w, (len(lrs), *w.shape)).copy() for w in start]
        state = jax.vmap(rule.init)(weights)
        losses = []
        for batch in itertools.islice(itertools.cycle(batches), trial.steps):
            weights, state, loss = step(weights, state, rates, batch)
            losses.append(loss)
        return jnp.stack(losses).block_until_ready()

    return train


def cpu():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def race(ways, clock, blocks=BLOCKS):
    """Run each way once to warm up, then all of them in turn; return the seconds of each."""
    first = {}
    for name, way in ways.items():
        started = clock()
        way()
        first[name] = clock() - started
    found = {name: [] for name in ways}
    for _ in range(blocks):
        for name, way in ways.items():
            started = clock()
            way()
            found[name].append(clock() - started)
    return found, first


def tell(title, found, first, base, shares=None):
    """Print medians with their range, and how many times as quick each is as the first way."""
    print(f"\n{title}   load {os.getloadavg()[0]:.1f}")
    share = shares or dict.fromkeys(found, 1)
    usual = statistics.median(found[base]) * share[base]
    for name, seconds in found.items():
        scaled = [each * share[name] for each in seconds]
        ratios = [share[base] * a / b for a, b in zip(found[base], scaled, strict=True)]
        print(
            f"  {name:34} {statistics.median(scaled):8.2f} s  "
            f"× {usual / statistics.median(scaled):5.2f} ({min(ratios):.2f} … {max(ratios):.2f})"
            f"   first {first[name] * share[name]:.1f} s"
        )


def sweep(trial, lrs, backend, workers=None):
    return lambda: sf.sweep(trial, lrs, seeds=1, backend=backend, workers=workers, progress=False)


def one_compiled(trial, lrs):
    def train():
        Fused(compiled=True, alone=True).run(Job(trial, [(lr, 0) for lr in lrs]), lambda *_: None)

    return train


def main_mlp():
    """The digits MLP at 32 rates, 1,000 updates: on one core, then on all."""
    lrs = np.geomspace(1e-4, 1, 32).tolist()
    torch.set_num_threads(1)
    for name, optimizer in (("SGD momentum", SGD), ("Adam", ADAM)):
        trial = trial_of("MLP", 1000, optimizer)
        few = lrs[::8]  # of the plain loop, for time; every member costs the same
        ways = {
            "plain torch, one by one": lambda trial=trial, few=few: one_by_one(trial, few),
            "sf.sweep, compiled": sweep(trial, lrs, "compiled"),
            "sf.sweep, fused": sweep(trial, lrs, "fused"),
            "JAX, vmap and jit": with_jax(trial, lrs),
        }
        share = {name: 8.0 if "plain" in name else 1.0 for name in ways}
        found, first = race(ways, cpu)
        tell(
            f"Digits MLP, {name}, 32 × 1,000 updates, CPU on one core",
            found,
            first,
            "plain torch, one by one",
            share,
        )
        ways = {
            "plain torch, one by one": ways["plain torch, one by one"],
            "sf.sweep, compiled, 2 processes": sweep(trial, lrs, "compiled", 2),
            "sf.sweep, auto": sweep(trial, lrs, "auto"),
        }
        found, first = race(ways, time.perf_counter)
        tell(
            f"Digits MLP, {name}, by the clock on 2 cores",
            found,
            first,
            "plain torch, one by one",
            {**share, **dict.fromkeys(list(ways)[1:], 1.0)},
        )


def main_others():
    """CNN, transformer, wide MLP at 8 rates: on one core, then on all."""
    lrs = np.geomspace(1e-4, 1e-2, 8).tolist()
    torch.set_num_threads(1)
    for name in ("CNN", "transformer", "wide MLP"):
        trial = trial_of(name, 200)
        few = lrs[::4]  # of the plain loop, for time; every member costs the same
        share = {"plain torch, one by one": 4.0}
        plain = {"plain torch, one by one": lambda trial=trial, few=few: one_by_one(trial, few)}
        ways = {
            **plain,
            **{f"sf.sweep, {each}": sweep(trial, lrs, each) for each in ("fused", "compiled")},
            "compiled, one by one": one_compiled(trial, lrs),
            "sf.sweep, auto, 1 process": sweep(trial, lrs, "auto", 1),
        }
        for where, clock, tried in (
            ("CPU on one core", cpu, ways),
            (
                "by the clock",
                time.perf_counter,
                {**plain, "sf.sweep, auto": sweep(trial, lrs, "auto")},
            ),
        ):
            found, first = race(tried, clock)
            title = f"{name}, 8 × {trial.steps} updates, {where}"
            tell(title, found, first, *plain, {**dict.fromkeys(tried, 1.0), **share})


def main_auto():
    """``auto`` against the best single choice, the pilot included."""
    worst = []
    for name, steps in (
        ("MLP", 1000),
        ("CNN", 100),
        ("transformer", 100),
        ("wide MLP", 100),
        ("LSTM", 200),
    ):
        for count in (4, 8, 16, 32):
            trial = trial_of(name, steps)
            lrs = np.geomspace(1e-4, 1e-2, count).tolist()
            backends = ["auto", "loop", "processes"]
            backends += [] if name == "LSTM" else ["fused", "compiled"]
            ways = {backend: sweep(trial, lrs, backend) for backend in backends}
            found, first = race(ways, time.perf_counter, 3)
            usual = {each: statistics.median(seconds) for each, seconds in found.items()}
            best = min((each for each in usual if each != "auto"), key=usual.__getitem__)
            worst.append(usual[best] / usual["auto"])
            times = ", ".join(f"{each} {seconds:.2f}" for each, seconds in usual.items())
            print(
                f"  {name:12} K {count:2}: auto {worst[-1]:.2f} of the best ({best}): {times} s"
                f"; first auto {first['auto']:.1f}  load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    print(f"auto ÷ best: median {statistics.median(worst):.2f}, least {min(worst):.2f}")


def main_peers():
    """The same grid, budget and training function in Optuna and Ray Tune, by the clock."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lrs = np.geomspace(1e-4, 1, 32).tolist()
    trial = trial_of("MLP", 1000)

    def with_optuna():
        study = optuna.create_study(sampler=optuna.samplers.GridSampler({"lr": lrs}))
        study.optimize(
            lambda t: one_by_one(trial, [t.suggest_float("lr", 1e-5, 10)])[0][-1], n_trials=32
        )

    ways = {
        "Optuna, GridSampler in memory": with_optuna,
        "sf.sweep, auto": sweep(trial, lrs, "auto"),
    }
    found, first = race(ways, time.perf_counter)
    tell(
        "Digits MLP, 32 × 1,000 updates, by the clock",
        found,
        first,
        "Optuna, GridSampler in memory",
    )
    with_ray(trial, lrs, statistics.median(found["sf.sweep, auto"]))


def with_ray(trial, lrs, ours):
    import ray
    from ray import tune

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)

    def train(config):
        torch.set_num_threads(1)
        return {"loss": one_by_one(trial, [config["lr"]])[0][-1]}

    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        tune.Tuner(
            train,
            param_space={"lr": tune.grid_search(lrs)},
            run_config=tune.RunConfig(verbose=0),
        ).fit()
        seconds.append(time.perf_counter() - started)
    ray.shutdown()
    usual = statistics.median(seconds)
    print(
        f"  Ray Tune {usual:.1f} s ({min(seconds):.1f} … {max(seconds):.1f}): × {usual / ours:.1f}"
    )


MAIN = {"mlp": main_mlp, "others": main_others, "auto": main_auto, "peers": main_peers}

if __name__ == "__main__":
    for part in sys.argv[1:] or MAIN:
        MAIN[part]()
