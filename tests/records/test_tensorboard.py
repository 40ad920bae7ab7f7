import json
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from surefoot.errors import LogError
from surefoot.records import Curve, read
from surefoot.records.readers import _tensorboard
from surefoot.records.readers._crc import masked_crc, masked_crcs
from surefoot.records.readers._protobuf import fields, signed, varint

# Bytes of protocol buffers, made by hand from their specification.


def number(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def blob(field: int, data: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(data)) + data


def whole(field: int, value: int) -> bytes:
    return number(field << 3) + number(value)


def float32(field: int, value: float) -> bytes:
    return number(field << 3 | 5) + struct.pack("<f", value)


def plain(tag: str, value: float) -> bytes:
    return blob(1, tag.encode()) + float32(2, value)


def event(step: int, *values: bytes, wall_time: float = 1.0) -> bytes:
    summary = b"".join(blob(1, value) for value in values)
    return b"\x09" + struct.pack("<d", wall_time) + whole(2, step) + blob(5, summary)


def frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return (
        length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))
    )


def write(folder: Path, *events: bytes, name: str = "events.out.tfevents.1.host") -> Path:
    path = folder / name
    path.write_bytes(b"".join(frame(data) for data in events))
    return path


WRITE = """
import json, math, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.metadata import create_summary_metadata
from tensorboard.util.tensor_util import make_ndarray, make_tensor_proto

folder = sys.argv[1]
rng = np.random.default_rng(0)
with SummaryWriter(folder) as writer:
    writer.add_text("config", "lr = 0.1")
    for step in range(300):
        writer.add_scalar("train/loss", float(np.exp(rng.normal())), step)
        writer.add_scalar("lr", 0.1 * 0.99**step, step)
        writer.add_scalar("a very long tag/" + "x" * 200, rng.normal(), step * 10**9)
        if step % 50 == 0:
            writer.add_histogram("weights", rng.normal(size=5000), step)
            writer.add_image("image", rng.random((3, 64, 64)), step)
            writer.add_scalar("odd", math.nan, step)
            writer.add_scalar("odd", math.inf, step)
            writer.add_scalar("grüße", step, -step)
with SummaryWriter(folder, purge_step=250, filename_suffix=".later") as writer:
    for step in range(250, 260):
        writer.add_scalar("train/loss", step, step)
# TensorBoard's own reader does not purge tensors, so these lie apart.
with SummaryWriter(folder + "/tensors") as writer:
    for step in range(300):
        writer.add_scalar("new style", rng.normal(), step, new_style=True)
        writer.add_scalar("double", rng.normal(), step, new_style=True, double_precision=True)
        summary = Summary()  # as TensorFlow 2 has it
        metadata = create_summary_metadata("name", "description")
        tensor = make_tensor_proto(np.float32(step))
        summary.value.add(tag="tf2", tensor=tensor, metadata=metadata)
        summary.value.add(tag="whole", tensor=make_tensor_proto(np.int64(-step)), metadata=metadata)
        writer.file_writer.add_summary(summary, step)


def curves(path):
    accumulator = EventAccumulator(path, size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    found = {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    for tag in set(tags["tensors"]) - {"config/text_summary"}:
        events = accumulator.Tensors(tag)
        found[tag] = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events]
    return found


json.dump([curves(folder), curves(folder + "/tensors")], sys.stdout)
"""


def test_the_scalars_are_those_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
        text=True,
    )
    theirs = json.loads(done.stdout)
    for folder, curves in zip((tmp_path, tmp_path / "tensors"), theirs, strict=True):
        log = read(folder)
        assert {log.tags.get("names", {}).get(name, name) for name in log.names} == set(curves)
        for tag, points in curves.items():
            steps, values = zip(*points, strict=True)
            assert log[tag] == Curve(steps, values), tag
        assert log.notes == ()
        assert log.name == folder.name
    assert list(map(len, theirs)) == [5, 4]
    log = read(tmp_path)
    assert log["loss"].steps.tolist() == [*range(260)]
    assert log["loss"].values[250] == 250
    assert len(log["lr"]) == 250


@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(
        st.tuples(
            st.sampled_from(["a", "b" * 47, "c" * 300, "ü"]),
            st.integers(-(2**53), 2**53),
            st.floats(width=32),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_what_is_framed_is_read(points):
    expected: dict[str, tuple[list[int], list[float]]] = {}
    events = [b""]
    for tag, step, value, other_order in points:
        message = float32(2, value) + blob(1, tag.encode()) if other_order else plain(tag, value)
        events.append(event(step, message))
        expected.setdefault(tag, ([], []))[0].append(step)
        expected[tag][1].append(value)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *events, event(0, blob(1, b"text") + blob(8, b"")))
        log = read(folder)
    assert set(log.names) == set(expected)
    assert log.notes == ()
    for tag, columns in expected.items():
        assert log[tag] == Curve(*columns)


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=700),
    cuts=st.lists(st.integers(0, 699), min_size=2, max_size=12),
)
def test_crc_of_many_ranges_is_that_of_each(data, cuts):
    cuts = sorted({min(cut, len(data)) for cut in cuts})
    ranges = [(a, b) for a in cuts for b in cuts if a < b] or [(0, len(data))]
    assert masked_crcs(data, ranges) == [masked_crc(data[a:b]) for a, b in ranges]


def test_crc_is_castagnoli():
    # RFC 3720, B.4: 32 bytes of zeros, of ones, and 0 … 31; the mask is that of TFRecord.
    for data, crc in (
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ):
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        assert masked_crc(data) == masked
        assert masked_crcs(b"x" * 70 + data, [(70, 102)]) == [masked]


TENSORS = {
    "float_val": whole(1, 1) + float32(5, 0.5),
    "packed float_val": whole(1, 1) + blob(5, struct.pack("<f", 0.5)),
    "double_val": whole(1, 2) + number(6 << 3 | 1) + struct.pack("<d", 0.5),
    "packed double_val": whole(1, 2) + blob(2, b"") + blob(6, struct.pack("<d", 0.5)),
    "content": whole(1, 1) + blob(2, b"") + blob(4, struct.pack("<f", 0.5)),
    "double content": whole(1, 2) + blob(4, struct.pack("<d", 0.5)),
    "half content": whole(1, 19) + blob(4, struct.pack("<e", 0.5)),
}
WHOLE_TENSORS = {
    "int_val": whole(1, 3) + whole(7, -3),
    "packed int64_val": whole(1, 9) + blob(10, number(-3)),
    "int64 content": whole(1, 9) + blob(4, struct.pack("<q", -3)),
    "int32 content": whole(1, 3) + blob(4, struct.pack("<i", -3)),
}
NO_SCALARS = {
    "two floats": whole(1, 1) + blob(5, struct.pack("<ff", 1, 2)),
    "two whole": whole(1, 9) + blob(10, number(1) + number(2)),
    "a vector of one": whole(1, 1) + blob(2, blob(2, whole(1, 1))) + float32(5, 0.5),
    "a string": whole(1, 7) + blob(8, b"text"),
    "no value": whole(1, 1),
    "no type": float32(5, 0.5),
    "long content": whole(1, 1) + blob(4, bytes(8)),
}


def test_scalar_tensors_of_tensorflow(tmp_path):
    scalars = [
        blob(1, name.encode()) + blob(8, data) for name, data in (TENSORS | WHOLE_TENSORS).items()
    ]
    others = [blob(1, name.encode()) + blob(8, data) for name, data in NO_SCALARS.items()]
    metadata = blob(9, blob(1, blob(1, b"scalars"))) + blob(9, blob(1, blob(2, b"")))
    marked = blob(1, b"marked") + metadata + blob(8, TENSORS["content"])
    foreign = (
        blob(1, b"foreign") + blob(9, blob(1, blob(1, b"pr_curves"))) + blob(8, TENSORS["content"])
    )
    later = blob(1, b"foreign") + blob(8, TENSORS["content"])
    write(tmp_path, event(4, *scalars, *others, marked, foreign), event(5, later))
    log = read(tmp_path)
    assert set(log.names) == {*TENSORS, *WHOLE_TENSORS, "marked"}
    assert all(log[name] == Curve([4], [0.5]) for name in [*TENSORS, "marked"])
    assert all(log[name] == Curve([4], [-3]) for name in WHOLE_TENSORS)


def test_files_are_merged_by_their_time(tmp_path):
    write(tmp_path, event(2, plain("loss", 3.0)), name="events.out.tfevents.1000.b")
    write(
        tmp_path,
        event(0, plain("loss", 1.0)),
        event(1, plain("loss", 2.0)),
        name="events.out.tfevents.999.z",
    )
    write(tmp_path, event(3, plain("loss", 4.0)), name="events.out.tfevents.1000.c")
    write(tmp_path, event(-1, plain("loss", 0.0)), name="tfevents")
    (tmp_path / "events.out.tfevents.5.empty").touch()
    (tmp_path / "tfevents-folder").mkdir()
    assert read(tmp_path)["loss"] == Curve([-1, 0, 1, 2, 3], [0, 1, 2, 3, 4])


def test_restarts_replace_what_stood_behind_them(tmp_path):
    def start(step):
        return whole(2, step) + blob(7, whole(1, 1))

    write(
        tmp_path,
        *(event(step, plain("loss", step), plain("val", step)) for step in range(6)),
        start(4),
        start(3),
        event(3, plain("loss", 30.0)),
        whole(2, 0) + blob(7, whole(1, 2)),  # a stop, no start
        start(9),
        event(9, plain("loss", 90.0)),
    )
    log = read(tmp_path)
    assert log["loss"] == Curve([0, 1, 2, 3, 9], [0, 1, 2, 30, 90])
    assert log["val"] == Curve([0, 1, 2], [0, 1, 2])


def test_damaged_records_are_skipped_and_counted(tmp_path):
    path = write(
        tmp_path,
        *(event(step, plain("loss", step)) for step in range(50)),
        b"\xff\xff\xff",
        b"\x09a",
    )
    data = bytearray(path.read_bytes())
    size = len(frame(event(0, plain("loss", 0.0))))
    data[5 * size + 20] ^= 1
    data[7 * size - 1] ^= 1
    path.write_bytes(data)
    log = read(path)
    assert log["loss"].steps.tolist() == [n for n in range(50) if n not in (5, 6)]
    assert log.notes == ("events.out.tfevents.1.host: skipped 4 damaged records.",)
    assert log.name == tmp_path.name


def test_after_a_damaged_length_the_next_record_is_found(tmp_path):
    first = write(tmp_path, *(event(step, plain("loss", step)) for step in range(9)))
    size = len(frame(event(0, plain("loss", 0.0))))
    data = bytearray(first.read_bytes())
    data[3 * size] ^= 1
    first.write_bytes(data)
    write(tmp_path, event(9, plain("loss", 9.0)), name="events.out.tfevents.2.host")
    log = read(tmp_path)
    assert log["loss"].steps.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert log.notes == (f"{first.name}: skipped {size} bytes that are no record.",)


def test_what_is_no_record_is_passed_over_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(_tensorboard, "_CHUNK", 1000)
    records = [frame(event(step, plain("loss", step))) for step in range(200)]
    for size in (1, 11, 12, 13, 999, 1000, 1001, 5000):
        for garbage in (b"\0", b"\xff", b"ab"):
            path = tmp_path / f"events.out.tfevents.{size}.{garbage[0]}"
            path.write_bytes(
                b"".join(records[:100]) + (garbage * size)[:size] + b"".join(records[100:])
            )
            log = read(path)
            assert log["loss"].steps.tolist() == list(range(200))
            assert log.notes == (f"{path.name}: skipped {size} bytes that are no record.",)


def test_many_scalars_of_several_tags_between_other_events(tmp_path):
    """What is taken apart side by side comes in the same order as one by one."""
    rng = np.random.default_rng(0)
    events, expected = [], {}
    for step in range(3000):
        tag = ["loss", "lr", "accuracy/top5"][rng.integers(3)]
        at, value = (
            int(10 ** rng.uniform(0, 11)) if step % 7 else -step,
            float(np.float32(rng.normal())),
        )
        events.append(event(at, plain(tag, value)))
        expected.setdefault(tag, []).append((at, value))
        if step % 100 == 50:
            events.append(event(at, b"\x0a\x03\x0a\x01x"))  # a value without a number
    log = read(write(tmp_path, *events))
    for tag, points in expected.items():
        assert list(zip(*(part.tolist() for part in log[tag]), strict=True)) == points


def test_a_cut_off_record_is_normal(tmp_path):
    path = write(tmp_path, *(event(step, plain("loss", step)) for step in range(3)))
    whole_file = path.read_bytes()
    size = len(frame(event(0, plain("loss", 0.0))))
    for length in range(size, len(whole_file)):
        path.write_bytes(whole_file[:length])
        log = read(path)
        assert len(log["loss"]) == length // size
        assert log.notes == ()


def test_records_may_be_larger_than_what_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot.records.readers._tensorboard._CHUNK", 64)
    image = event(1, blob(1, b"image") + blob(4, bytes(5000)))
    write(tmp_path, event(0, plain("loss", 0.0)), image, event(1, plain("loss", 1.0)), image)
    assert read(tmp_path)["loss"] == Curve([0, 1], [0, 1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\0" * 11, "cut off in its first record"),
        (b"not a record at all, but text of some length", "skipped 44 bytes that are no record"),
        (frame(b"abc")[:-2], "cut off in its first record"),
        (
            struct.pack("<Q", 2**63)
            + struct.pack("<I", masked_crc(struct.pack("<Q", 2**63)))
            + b"x",
            "cut off",
        ),
    ],
)
def test_a_file_without_records(tmp_path, data, message):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(data)
    with pytest.raises(LogError, match=message):
        read(path)


def test_a_renamed_event_file_is_recognised(tmp_path):
    path = write(tmp_path, event(0, plain("loss", 1.0)), name="renamed.log")
    assert len(read(path)["loss"]) == 1


REAL = b"".join(
    frame(data)
    for data in [
        blob(3, b"brain.Event:2"),
        *(event(step, plain("loss", step), plain("lr", 0.1)) for step in range(4)),
        event(4, blob(1, b"tensor") + blob(8, TENSORS["content"])),
        event(5, blob(1, b"tensor") + blob(8, TENSORS["packed double_val"])),
        whole(2, 3) + blob(7, whole(1, 1)),
        event(6, plain("loss", 1.0)),
    ]
)


def _survives(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.out.tfevents.1")
        path.write_bytes(data)
        try:
            log = read(path)
        except LogError:
            return
        assert sum(len(curve) for curve in log.curves.values()) <= len(data)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
@example(data=struct.pack("<Q", 0) + struct.pack("<I", masked_crc(bytes(8))) + bytes(4))
def test_random_bytes_raise_nothing_else(data):
    _survives(data)
    _survives(frame(data))
    _survives(frame(event(0, data)))
    _survives(frame(event(0, blob(1, b"t") + blob(8, data) + blob(9, data))))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6), repair=st.booleans())
def test_mutated_files_raise_nothing_else(seed, changes, repair):
    draw = random.Random(seed)
    data = bytearray(REAL)
    for _ in range(changes):
        kind, at = draw.randrange(3), draw.randrange(len(data))
        if kind == 0:
            data[at] = draw.randrange(256)
        elif kind == 1:
            del data[at : at + draw.randrange(1, 20)]
        else:
            data[at:at] = draw.randbytes(draw.randrange(1, 20))
    _survives(frame(bytes(data[16:])) if repair else bytes(data))


def test_the_wire_format():
    assert varint(b"\xac\x02", 0) == (300, 2)
    assert signed(varint(number(-5), 0)[0]) == -5
    for bad in (b"\x80", b"\x0a\x05abc", b"\x0b", b"\xff" * 11, b"\x0d\x00"):
        with pytest.raises((ValueError, IndexError)):
            list(fields(bad))
    assert list(fields(b"\x0d\x00\x00\x80\x3f")) == [(1, 5, struct.pack("<f", 1.0))]


def test_many_restarts_and_tags_take_no_quadratic_time(tmp_path):
    restart = whole(2, 10**6) + blob(7, whole(1, 1))
    events = [data for n in range(3000) for data in (event(n, plain(f"tag {n}", 0.0)), restart)]
    write(tmp_path, *events)
    log = read(tmp_path)
    assert len(log) == 3000
    assert np.sum([len(curve) for curve in log.curves.values()]) == 3000


def test_one_damaged_length_among_many_records_costs_no_more_than_its_own(tmp_path):
    """Also where what follows in the chunk has more places that look like a length than any log."""
    count = 40_000
    first = write(tmp_path, *(event(step, plain("loss", step / 7)) for step in range(count)))
    data = bytearray(first.read_bytes())
    data[len(data) // 8] ^= 1
    first.write_bytes(data)
    assert len(read(tmp_path)["loss"]) >= count - 1
