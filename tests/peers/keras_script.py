"""What Keras makes of schedules; started once for each backend, which ``KERAS_BACKEND`` names.

Usage: ``keras_script.py FOLDER``; what was found lies in FOLDER as ``found.json``.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from hypothesis import given, settings

from surefoot.integrations.keras import SurefootSchedule, to_keras
from surefoot.schedules import cosine, warmup
from tests.peers.samples import FUNCTION, PLANS, TOTAL
from tests.schedules.strategies import closed

ops = keras.ops
PLAN = (warmup(4) >> cosine(floor=0.1)).resolve(12)


def array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), dtype=float)


def compiled(function):
    """Return the function as the backend compiles it; torch runs it as it is."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def curves():
    """Return each sample's rates: of three single counts, of all at once, and compiled."""
    counts = ops.arange(TOTAL + 5)
    found = []
    for plan in [*PLANS, FUNCTION]:
        rate = to_keras(plan, 0.3)
        ways = {
            "one": [float(array(rate(t))) for t in (0, 1, TOTAL)],
            "all": array(rate(counts)).tolist(),
            "compiled": array(compiled(rate)(counts)).tolist(),
        }
        found.append([str(plan), ways])
    return found


@given(closed)
@settings(derandomize=True, deadline=None, max_examples=15, database=None)
def check_any_nesting(plan):
    times = np.arange(plan.total + 3)
    found = array(to_keras(plan)(ops.convert_to_tensor(times)))
    np.testing.assert_allclose(found, plan(times), rtol=1e-4, atol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
def output_mean(target, output):
    return ops.mean(output)


def model(rate):
    """Return a model of one weight whose gradient is always 1: it moves by the rates."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.layers.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    net.compile(
        optimizer=keras.optimizers.SGD(learning_rate=rate),
        loss=output_mean,
    )
    return net


class Weights(keras.callbacks.Callback):
    """The weight after each update, from which the rates that were used follow."""

    def __init__(self):
        super().__init__()
        self.seen = [0.0]

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(array(self.model.weights[0])[0, 0]))

    @property
    def rates(self):
        return (-np.diff(self.seen)).tolist()


def fit(net, *callbacks, epochs=1, updates=6):
    weights = Weights()
    weights.seen = [float(array(net.weights[0])[0, 0])]
    ones = np.ones((updates, 1), dtype="float32")
    net.fit(ones, ones, batch_size=1, epochs=epochs, verbose=0, callbacks=[weights, *callbacks])
    return weights.rates


def training(folder):
    """Return the rates of half a run, and of the other half by the model that was saved."""
    net = model(to_keras(PLAN, 0.3))
    first = fit(net)
    file = Path(folder, "half.keras")
    net.save(file)
    loaded = keras.saving.load_model(file)
    same = loaded.optimizer._learning_rate
    return {
        "first": first,
        "second": fit(loaded),
        "class": type(same) is SurefootSchedule,
        "schedule": str(same.schedule),
        "registered": keras.saving.get_registered_name(SurefootSchedule),
    }


def configuration():
    """Return whether each schedule survives Keras' own way through JSON."""
    answers = []
    for plan in PLANS:
        document = json.dumps(keras.saving.serialize_keras_object(to_keras(plan, 0.3)))
        again = keras.saving.deserialize_keras_object(json.loads(document))
        answers.append(again.schedule == plan and again.lr == 0.3)
    return answers


def by_epoch():
    """Return the rates under Keras' callback, which is given the schedule as it is."""
    rates = fit(
        model(0.1),
        keras.callbacks.LearningRateScheduler((0.3 * PLAN).resolve(12)),
        epochs=4,
        updates=2,
    )
    return {"rates": rates, "expected": np.repeat(0.3 * PLAN.values()[:4], 2).tolist()}


def precision():
    """Return the type of the rates under each float type of Keras."""
    found = {}
    usual = keras.config.floatx()
    for floatx in ("float64", "float32", "float16"):
        keras.config.set_floatx(floatx)
        rate = to_keras(PLAN, 0.3)(5)
        found[floatx] = [keras.backend.standardize_dtype(rate.dtype), float(array(rate))]
    keras.config.set_floatx(usual)
    return found


if __name__ == "__main__":
    check_any_nesting()
    found = {
        "backend": keras.backend.backend(),
        "curves": curves(),
        "training": training(sys.argv[1]),
        "configuration": configuration(),
        "by_epoch": by_epoch(),
        "precision": precision(),
    }
    Path(sys.argv[1], "found.json").write_text(json.dumps(found))
