"""``to_keras`` on each of Keras' backends, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surefoot import InputError, schedules
from surefoot.integrations import keras as integration
from tests.peers.keras_script import PLAN
from tests.peers.samples import FUNCTION, PLANS, TOTAL

ROOT = Path(__file__).parents[2]
SINGLE = {"rel": 1e-4, "abs": 1e-5}


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def found(request, tmp_path_factory):
    """What the script found on one backend."""
    folder = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, "-m", "tests.peers.keras_script", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "KERAS_BACKEND": request.param,
            "KERAS_HOME": str(folder),
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((folder / "found.json").read_text())
    assert result["backend"] == request.param
    return result


def test_every_kind_of_schedule(found):
    times = {"one": [0, 1, TOTAL], "all": range(TOTAL + 5), "compiled": range(TOTAL + 5)}
    for plan, (text, ways) in zip([*PLANS, FUNCTION], found["curves"], strict=True):
        assert text == str(plan)
        for way, rates in ways.items():
            expected = 0.3 * plan(np.asarray(times[way]))
            assert rates == pytest.approx(expected, **SINGLE), (text, way)


def test_a_model_moves_by_the_rates_also_when_it_was_saved_and_loaded(found):
    training = found["training"]
    expected = 0.3 * PLAN.values()
    assert training["first"] == pytest.approx(expected[:6], **SINGLE)
    assert training["second"] == pytest.approx(expected[6:], **SINGLE)
    assert training["schedule"] == str(PLAN)
    assert training["class"]
    assert training["registered"] == "surefoot>SurefootSchedule"


def test_every_schedule_survives_its_configuration(found):
    assert found["configuration"] == [True] * len(PLANS)


def test_a_resolved_schedule_in_keras_own_callback(found):
    by_epoch = found["by_epoch"]
    assert by_epoch["rates"] == pytest.approx(by_epoch["expected"], **SINGLE)


def test_the_rate_has_keras_float_type(found):
    if found["backend"] == "jax":  # which has no double precision unless it is asked for
        del found["precision"]["float64"]
    for floatx, (kind, rate) in found["precision"].items():
        assert kind == floatx
        assert rate == pytest.approx(0.3 * PLAN(5), rel=1e-3)


def test_units_and_errors():
    rate = integration.to_keras("warmup('1 epoch') >> hold()", 0.5, total=9, updates_per_epoch=3)
    assert rate.schedule == schedules.schedule("warmup(3) >> hold(6)")
    with pytest.raises(InputError, match="total must be given"):
        integration.to_keras("cosine()")
    with pytest.raises(InputError, match="lr must be a finite learning rate"):
        integration.to_keras("hold(3)", 0.0)
    with pytest.raises(AttributeError, match="nothing"):
        _ = integration.nothing


def test_a_function_is_not_read_from_a_file():
    config = integration.to_keras(FUNCTION).get_config()
    assert config["schedule"]["target"] == "tests.peers.samples:halving"
    with pytest.raises(InputError, match="allow_functions"):
        integration.SurefootSchedule.from_config(config)


def test_without_keras_it_says_what_to_install():
    code = (
        "import sys; sys.modules['keras'] = None; import surefoot as sf\n"
        "try: sf.integrations.to_keras('hold(3)')\n"
        "except sf.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install keras" in done.stdout
