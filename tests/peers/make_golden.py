"""Make ``tests/schedules/golden_peers.json`` again, from the installed libraries.

    python tests/peers/make_golden.py

A choice of the cases of the tests beside this file, each with the values of the library, in float64
where it can: so the conversions are tested where the libraries are not installed.
"""

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

importlib.import_module("peers.conftest")  # it opens timm and names the backend of Keras
jax, keras, optax = map(importlib.import_module, ("jax", "keras", "optax"))
test_from_keras, test_from_optax, test_from_timm, test_from_transformers = (
    importlib.import_module(f"peers.test_from_{name}")
    for name in ("keras", "optax", "timm", "transformers")
)

TOTAL = 48
OUT = HERE.parent / "schedules" / "golden_peers.json"


def chosen(cases, each):
    """Return every ``each``-th case and the first of every kind."""
    kinds, result = set(), []
    for i, case in enumerate(cases):
        kind = case[0] if isinstance(case, tuple) else type(case).__name__
        if i % each == 0 or kind not in kinds:
            result.append(case)
        kinds.add(kind)
    return result


def of_optax():
    t = np.arange(TOTAL)
    with jax.enable_x64(True):
        for name, arguments in chosen(test_from_optax.CASES, 15):
            values = jax.vmap(getattr(optax, name)(**arguments))(t)
            yield (
                {"name": name, "arguments": arguments},
                np.broadcast_to(np.asarray(values), t.shape),
            )


def of_transformers():
    for name, warmup, total, specific in chosen(test_from_transformers.CASES, 47):
        case = {"name": name, "warmup": warmup, "total": total, "arguments": specific}
        yield case, test_from_transformers.theirs(name, warmup, total, specific)


def of_keras():
    keras.config.set_floatx("float64")
    for schedule in chosen(test_from_keras.CASES, 7):
        case = {"kind": type(schedule).__name__, "config": schedule.get_config()}
        yield case, test_from_keras.theirs(schedule, TOTAL)


def of_timm():
    cases = [*test_from_timm.RESTARTING[::61], *test_from_timm.STEPPING[::17]]
    for kind, arguments in cases:
        scheduler = getattr(test_from_timm.library, kind)(test_from_timm.optimizer(), **arguments)
        values = test_from_timm.theirs(scheduler, TOTAL)
        state = {key: value for key, value in scheduler.state_dict().items() if not callable(value)}
        if np.isfinite(values).all() and closed(scheduler) and len(state) > 10:
            yield {"kind": kind, "attributes": state}, values


def closed(scheduler):
    """Return whether it is read without asking the scheduler itself."""
    scheduler._get_lr = None
    try:
        test_from_timm.from_timm(scheduler, TOTAL)
    except test_from_timm.InputError:  # a call of None
        return False
    finally:
        del scheduler._get_lr
    return True


def main():
    document = {
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("optax", "transformers", "keras", "timm")
        },
        "lrs": test_from_timm.LRS,
        "lr": test_from_transformers.LR,
    }
    for library in (of_optax, of_transformers, of_keras, of_timm):
        document[library.__name__.removeprefix("of_")] = [
            {**case, "values": np.asarray(values).tolist()} for case, values in library()
        ]
    lines = json.dumps(document).replace('{"name"', '\n{"name"').replace('{"kind"', '\n{"kind"')
    OUT.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
