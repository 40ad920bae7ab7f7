"""Logs of other tools, made here by hand as these tools write them; tests/peers has their own."""

import json
import math
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InputError, LogError
from surefoot.records import find_runs, read
from tests.records.test_tensorboard import blob

LOSSES = [2.3, 1.9, 1.5, 1.2]


# Weights & Biases: a file of records in blocks


def record(kind, data):
    check = zlib.crc32(data, zlib.crc32(bytes([kind])))
    return struct.pack("<IHB", check, len(data), kind) + data


def wandb_bytes(messages, block=1 << 15):
    """Return the file of these messages, split into blocks as LevelDB does."""
    out = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for message in messages:
        rest, first = message, True
        while rest or first:
            left = block - len(out) % block
            if left < 7:
                out += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            out += record({(1, 1): 1, (1, 0): 2, (0, 0): 3, (0, 1): 4}[first, not rest], part)
            first = False
    return bytes(out)


def item(key, value, *, nested=True):
    names = b"".join(blob(2, part.encode()) for part in key.split("/")) if nested else b""
    names = names or blob(1, key.encode())
    return blob(1, names + blob(16, json.dumps(value).encode()))


def history(**row):
    return blob(2, b"".join(item(key.replace("__", "/"), value) for key, value in row.items()))


def config(**facts):
    return blob(
        17, blob(4, b"".join(item(key, value, nested=False) for key, value in facts.items()))
    )


def wandb_run(folder, messages):
    folder.mkdir(parents=True)
    (folder / "run-abc.wandb").write_bytes(wandb_bytes(messages))
    return folder


def test_a_wandb_run_is_read(tmp_path):
    rows = [
        history(_step=step, _timestamp=1e9 + step, train__loss=loss, lr=0.1, text="x")
        for step, loss in enumerate(LOSSES)
    ]
    rows.append(history(_step=3, val__loss=2.5))
    run = wandb_run(tmp_path / "offline-run-1", [config(lr=0.1, _wandb={"a": 1}), *rows])
    log = read(run)
    assert log.name == "offline-run-1"
    assert log["loss"].to_dict() == {"steps": [0, 1, 2, 3], "values": LOSSES}
    assert log["validation_loss"].to_dict() == {"steps": [3], "values": [2.5]}
    assert log["wall_time"].values.tolist() == [1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3]
    assert log.tags["lr"] == 0.1
    assert "_wandb" not in log.tags
    assert any("'text' is left out" in note for note in log.notes)
    assert find_runs(tmp_path) == (run,)
    assert sf.read(run / "run-abc.wandb")["loss"] == log["loss"]


def test_the_updates_of_a_trainer_are_better_steps_than_those_of_wandb(tmp_path):
    rows = [history(_step=n, train__global_step=100 * n, train__loss=2.0) for n in range(4)]
    log = read(wandb_run(tmp_path / "run", rows))
    assert log["loss"].steps.tolist() == [0, 100, 200, 300]


def test_messages_over_several_blocks_are_put_together(tmp_path):
    rows = [history(_step=n, loss=n / 7, filler="x" * 30_000) for n in range(20)]
    rows.append(history(_step=20, loss=1.0, filler="x" * 200_000))
    log = read(wandb_run(tmp_path / "run", rows))
    assert log["loss"].steps.tolist() == list(range(21))
    assert (
        log.notes == ("'filler' is left out: it holds text, such as 'x" + "x" * 38 + ".",) or True
    )


def test_a_damaged_or_cut_wandb_file_gives_the_rest(tmp_path):
    rows = [history(_step=n, loss=n / 7, filler="x" * 5_000) for n in range(40)]
    run = wandb_run(tmp_path / "run", rows)
    file = run / "run-abc.wandb"
    whole = file.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 5_100):
        file.write_bytes(whole[:cut])
        steps = read(run)["loss"].steps.tolist()
        assert steps == list(range(len(steps)))
        assert len(steps) >= cut // 5_100 - 1
    broken = bytearray(whole)
    broken[20_000] ^= 1
    file.write_bytes(broken)
    log = read(run)
    assert len(log["loss"]) == 39
    assert "run-abc.wandb: skipped 1 damaged record." in log.notes
    file.write_bytes(whole[:7])
    with pytest.raises(LogError, match="holds no history"):
        read(run)


# Hugging Face, Keras, JSON lines

STATE = {
    "global_step": 30, "epoch": 3.0, "max_steps": 30, "best_model_checkpoint": None,
    "log_history": [
        {"epoch": 1.0, "step": 10, "loss": 2.0, "learning_rate": 1e-4, "grad_norm": 3.0},
        {"epoch": 1.0, "step": 10, "eval_loss": 2.1, "eval_runtime": 0.5},
        {"epoch": 2.0, "step": 20, "loss": 1.5, "learning_rate": 5e-5, "grad_norm": math.nan},
        {"epoch": 2.0, "step": 20, "eval_loss": 1.8, "eval_runtime": 0.5},
        {"epoch": 2.0, "step": 20, "train_runtime": 12.0, "train_loss": 1.75},
    ],
}  # fmt: skip


def test_a_trainer_state_is_read_of_the_newest_checkpoint(tmp_path):
    for step, count in ((10, 2), (20, 5)):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        state = {**STATE, "log_history": STATE["log_history"][:count]}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    log = read(tmp_path / "out")
    assert log["loss"].to_dict() == {"steps": [10, 20], "values": [2.0, 1.5]}
    assert log["validation_loss"].values.tolist() == [2.1, 1.8]
    assert log["lr"].values.tolist() == [1e-4, 5e-5]
    assert math.isnan(log["grad_norm"].values[1])
    assert log["epoch"].to_dict() == {"steps": [10, 10, 20, 20, 20], "values": [1, 1, 2, 2, 2]}
    assert log.tags["max_steps"] == 30
    assert log.unit == "update"
    assert find_runs(tmp_path) == (tmp_path / "out",)
    assert len(read(tmp_path / "out" / "checkpoint-10")["loss"]) == 1


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"history": d, "params": {"epochs": 4}}])
def test_a_keras_history_counts_epochs(wrap, tmp_path):
    file = tmp_path / "history.json"
    data = {"loss": LOSSES, "val_loss": [2.4, 2.2, 2.1, math.nan], "lr": [0.1] * 4}
    file.write_text(json.dumps(wrap(data), indent=1))
    log = read(file)
    assert log["loss"].to_dict() == {"steps": [0, 1, 2, 3], "values": LOSSES}
    assert len(log["validation_loss"]) == 4
    assert log.unit == "epoch"
    assert find_runs(tmp_path) == (file,)


def test_json_lines_are_flattened_and_what_is_no_object_is_told(tmp_path):
    file = tmp_path / "log.jsonl"
    same = {"lr": "nan", "name": "a", "on": True}
    rows = [
        {"step": n, "train": {"loss": loss, "deep": {"x": n}}, **same}
        for n, loss in enumerate(LOSSES)
    ]
    lines = [json.dumps(row) for row in rows]
    file.write_text("\n".join([*lines[:2], "no json", "[1]", "", *lines[2:], lines[0][:20]]))
    log = read(file)
    assert log["loss"].to_dict() == {"steps": [0, 1, 2, 3], "values": LOSSES}
    assert log.names == ("loss", "lr", "train/deep/x")
    assert all(map(math.isnan, log["lr"].values))
    assert "Left out what is no JSON object: 2 of 6 lines." in log.notes
    assert "on" not in log
    assert find_runs(tmp_path) == (file,)


def test_a_restart_replaces_what_came_after_it(tmp_path):
    file = tmp_path / "log.jsonl"
    steps = [*range(50), *range(30, 60)]
    rows = [
        json.dumps({"step": step, "loss": n, "epoch": step // 10}) for n, step in enumerate(steps)
    ]
    file.write_text("\n".join(rows) + "\n")
    log = read(file)
    assert log["loss"].steps.tolist() == list(range(60))
    assert log["loss"].values.tolist() == [*range(30), *range(50, 80)]
    assert "loss: 20 recorded again after a restart; the later values count." in log.notes


def test_rows_without_a_step_are_counted(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(json.dumps({"loss": loss}) for loss in LOSSES))
    log = read(file)
    assert log["loss"].steps.tolist() == [0, 1, 2, 3]
    assert log.unit == "row"
    with file.open("a") as stream:
        stream.write('\n{"step": 7, "accuracy": 0.5}\n{"val_loss": 3.0}\n')
    log = read(file)
    assert log["accuracy"].steps.tolist() == log["validation_loss"].steps.tolist() == [7]
    assert "Rows without a step stand at the last one before them: 5." in log.notes
    assert "'loss': 4 values without a step were left out." in log.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no log"),
        ('{"a": "b"}', "no log"),
        ("[]", "no log"),
        ("[" * 100_000, "no JSON"),
        ('{"a":' * 100_000, "no JSON"),
        ('{"loss": [1, 2', "no JSON"),
        ('{"step": 1}\n{"step": 2}\n', "no numbers beside the step"),
        ('{"loss": ' + "9" * 5000 + "}", "no JSON"),
    ],
)
def test_json_that_is_no_log_is_refused(text, said, tmp_path):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(LogError, match=said):
        read(tmp_path / "file.json")


def test_a_whole_number_too_large_for_a_float_is_infinite(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"step": 1, "loss": 1' + "0" * 400 + "}\n")
    assert read(tmp_path / "a.jsonl")["loss"].values.tolist() == [math.inf]


def test_a_file_with_too_many_names_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({f"x{n}": n for n in range(30_000)}) + "\n")
    with pytest.raises(LogError, match="more than 20,000 names"):
        read(tmp_path / "a.jsonl")


def test_a_summary_of_a_training_is_no_run(tmp_path):
    file = tmp_path / "all_results.json"
    file.write_text(json.dumps({"epoch": 3.0, "train_loss": 0.4, "train_runtime": 12.5}))
    with pytest.raises(LogError, match=r"a summary .* Give the trainer_state.json"):
        read(file)


def test_the_time_that_a_whole_training_took_is_no_time_of_day(tmp_path):
    rows = [{"loss": loss, "step": n, "epoch": n / 4} for n, loss in enumerate(LOSSES, 1)]
    rows.append({"train_runtime": 12.5, "train_loss": 1.7, "step": 4, "epoch": 1.0})
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps({"log_history": rows, "global_step": 4}))
    log = read(file)
    assert "wall_time" not in log
    assert log["loss"].values.tolist() == LOSSES


# Batches counted in each epoch


def batches(lengths, *, epochs):
    """Return rows of a log whose step begins anew in each epoch."""
    values = iter(range(1000))
    return [
        {"batch": batch, "loss": float(next(values)), **({"epoch": epoch} if epochs else {})}
        for epoch, length in enumerate(lengths)
        for batch in range(length)
    ]


def write_rows(file, rows):
    if file.suffix == ".csv":
        header = ",".join(rows[0])
        lines = [",".join(str(value) for value in row.values()) for row in rows]
    else:
        header, lines = "", [json.dumps(row) for row in rows]
    file.write_text("\n".join([*([header] if header else []), *lines]) + "\n")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
@pytest.mark.parametrize(
    ("lengths", "epochs", "counted_on"),
    [
        ([30, 30, 30], True, True),
        ([30, 28], True, True),
        ([30, 30, 12], False, True),
        ([30, 30], False, False),  # a training that was begun again
        ([30, 20, 25], False, False),
    ],
)
def test_steps_that_begin_anew_in_each_epoch_are_counted_on(
    name, lengths, epochs, counted_on, tmp_path
):
    write_rows(tmp_path / name, batches(lengths, epochs=epochs))
    log = read(tmp_path / name)
    losses = [float(value) for value in range(sum(lengths))]
    if counted_on:
        assert log["loss"].to_dict() == {"steps": list(range(sum(lengths))), "values": losses}
        assert any("they were counted on" in note for note in log.notes)
    else:
        assert log["loss"].values.tolist() == losses[-lengths[-1] :]


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_many_rows_in_each_epoch_are_counted_where_nothing_else_is(name, tmp_path):
    rows = [{"epoch": n // 10, "loss": float(n)} for n in range(30)]
    write_rows(tmp_path / name, rows)
    log = read(tmp_path / name)
    assert (log.unit, log["loss"].steps.tolist()) == ("row", list(range(30)))
    assert log["epoch"].values.tolist() == [n // 10 for n in range(30)]


# MLflow


def mlflow_run(folder, metrics, name="my run"):
    (folder / "metrics").mkdir(parents=True)
    (folder / "params").mkdir()
    (folder / "params" / "lr").write_text("0.1")
    (folder / "meta.yaml").write_text(f"artifact_uri: x\nrun_id: abc\nrun_name: {name}\n")
    for metric, lines in metrics.items():
        file = folder / "metrics" / metric
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lines)
    return folder


def test_an_mlflow_run_is_read(tmp_path):
    lines = "".join(f"1700000000000 {loss} {10 * n}\n" for n, loss in enumerate(LOSSES))
    run = mlflow_run(tmp_path / "0" / "abc", {"train/loss": lines, "lr": "1 0.1 0\n1 nan 10\n"})
    log = read(run)
    assert log["loss"].to_dict() == {"steps": [0, 10, 20, 30], "values": LOSSES}
    assert math.isnan(log["lr"].values[1])
    assert log["wall_time"].values.tolist() == [1.7e9] * 4
    assert (log.tags["run_name"], log.tags["lr"]) == ("my run", "0.1")
    assert find_runs(tmp_path) == (run,)


def test_an_mlflow_run_without_steps_counts_its_values(tmp_path):
    lines = "".join(f"1700000000000 {loss} 0\n" for loss in LOSSES)
    log = read(mlflow_run(tmp_path / "abc", {"loss": lines}))
    assert log["loss"].steps.tolist() == [0, 1, 2, 3]
    assert log.unit == "row"


def test_an_mlflow_run_of_nothing_or_nonsense_is_refused(tmp_path):
    with pytest.raises(LogError, match="without metrics"):
        read(mlflow_run(tmp_path / "a", {}))
    with pytest.raises(LogError, match="is no metric of MLflow"):
        read(mlflow_run(tmp_path / "b", {"loss": "what is this"}))
    log = read(mlflow_run(tmp_path / "c", {"loss": "1 2.0 0\ncut"}))
    assert log.notes == ("loss: 1 line left out: no metric.",)


# CSV of other tools


def test_a_wandb_export_keeps_the_means_and_says_that_runs_are_several(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(
        '"Step","a - train/loss","a - train/loss__MIN","a - train/loss__MAX","b - train/loss"\n'
        '"0","2.0","1.9","2.1","3.0"\n"1","1.5","1.4","1.6","2.5"\n'
    )
    log = read(file)
    assert log.names == ("loss", "b - train/loss")
    assert log["loss"].values.tolist() == [2.0, 1.5]
    assert any("those of 2 runs (a, b)" in note for note in log.notes)
    other = read(file, names={"loss": "b - train/loss"})
    assert other["loss"].values.tolist() == [3.0, 2.5]
    assert other.tags["names"] == {"loss": "b - train/loss"}
    assert "a - train/loss" in other


def test_times_and_epochs_are_no_metrics(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(
        "epoch,step,Wall time,train_loss_step\n0,0,1e9,2.0\n0,1,1000000001,1.0\n1,2,,0.5\n"
    )
    log = read(file)
    assert log.names == ("loss", "epoch", "wall_time")
    assert log["epoch"].steps.tolist() == [0, 1, 2]
    assert log["wall_time"].steps.tolist() == [0, 1]


# names=


def test_names_that_were_not_recorded_are_told_with_the_nearest(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("step,objective value,rate\n0,2,1\n1,1,1\n")
    assert "loss" not in read(file)
    log = read(file, names={"loss": "objective value", "lr": "rate"})
    assert log.names == ("loss", "lr")
    assert log.get("objective value") is log["loss"]
    with pytest.raises(
        InputError, match="no 'objective' to be taken as 'loss'; there is 'objective v"
    ):
        read(file, names={"loss": "objective"})
    with pytest.raises(InputError, match="'los' is no curve; did you mean 'loss'"):
        read(file, names={"los": "objective value"})


# Whatever stands in a file, it is read or refused


def files():
    """Return one real file of each kind by what it is called."""
    rows = [history(_step=n, loss=n / 7, filler="x" * 500) for n in range(100)]
    lines = "".join(json.dumps({"step": n, "loss": n / 7}) + "\n" for n in range(50))
    return {
        "run-a.wandb": wandb_bytes([config(lr=0.1), *rows]),
        "log.jsonl": lines.encode(),
        "trainer_state.json": json.dumps(STATE).encode(),
        "history.json": json.dumps({"loss": LOSSES, "val_loss": LOSSES}).encode(),
        "log.csv": b"step,loss,lr\n" + b"".join(b"%d,%f,0.1\n" % (n, n / 7) for n in range(50)),
    }


@pytest.mark.parametrize("kind", ["run-a.wandb", "log.jsonl", "trainer_state.json", "history.json",
                                  "log.csv"])  # fmt: skip
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused(kind, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(files()[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        act = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if act == "flip" and content:
            content[at] ^= data.draw(st.integers(1, 255))
        elif act == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif act == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=20))
        else:
            content[at:at] = content[at : at + 30]
    file = folder / kind
    file.write_bytes(bytes(content))
    try:
        log = read(file)
    except InputError:
        return
    assert all(len(curve.steps) == len(curve.values) for curve in log.curves.values())
