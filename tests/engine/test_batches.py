import copy
from collections import UserDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from surefoot import InputError
from surefoot._engine.batches import Batches, checksum, map_leaves, sample_count, usual_window
from tests.exact import assert_same, rng_state

DATA = TensorDataset(torch.arange(10.0))


class Pair(NamedTuple):
    x: object
    y: object


def loader():
    return DataLoader(DATA, batch_size=4, shuffle=True)


def drawn(batches, count):
    return [batches[number][0].tolist() for number in range(count)]


def test_batches_are_those_of_the_loader_iterated_again_and_again_under_the_seed():
    torch.manual_seed(3)
    source = loader()
    expected = [batch[0].tolist() for _ in range(3) for batch in source]
    assert drawn(Batches(loader(), 3), 9) == expected


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    assert drawn(Batches(loader(), 3), 6) == drawn(Batches(loader(), 3), 6)
    assert drawn(Batches(loader(), 3), 6) != drawn(Batches(loader(), 4), 6)


def test_the_order_of_asking_does_not_matter_and_global_generators_stay():
    expected = drawn(Batches(loader(), 3), 7)
    before = rng_state()
    batches = Batches(loader(), 3)
    sixth = batches[6][0].tolist()
    torch_state = torch.get_rng_state()
    assert [sixth, batches[1][0].tolist()] == [expected[6], expected[1]]
    assert torch.equal(torch_state, torch.get_rng_state())
    assert_same(rng_state(), before)


def test_each_asking_gives_a_copy_that_may_be_changed():
    batches = Batches([{"x": torch.ones(2), "more": [torch.ones(1), "text"]}], 0)
    first = batches[0]
    first["x"].zero_()
    first["more"][0].zero_()
    first.pop("more")
    assert_same(batches[0], {"x": torch.ones(2), "more": [torch.ones(1), "text"]})


def test_an_empty_source_is_refused():
    with pytest.raises(InputError, match="train must hold at least one batch; it is empty"):
        Batches([], 0)[0]


def test_a_source_that_is_empty_the_second_time_is_refused():
    class Once:
        def __init__(self):
            self.items = iter([torch.ones(1)] * 3)

        def __iter__(self):
            return self.items

    batches = Batches(Once(), 0)
    assert len(drawn(batches, 3)) == 3
    with pytest.raises(InputError, match="train was empty when iterated again"):
        batches[3]


def test_a_source_with_indices_alone_is_iterated():
    class Indexed:
        def __getitem__(self, index):
            if index >= 2:
                raise IndexError
            return torch.tensor([float(index)])

    batches = Batches(Indexed(), 0)
    assert [batches[i].item() for i in range(4)] == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (torch.ones(5, 2), 5),
        ((torch.ones(3, 2), torch.ones(3)), 3),
        ([torch.ones(4)], 4),
        ({"x": torch.ones(6, 1), "y": torch.ones(6)}, 6),
        ({"id": "a", "x": torch.ones(2)}, 2),
        (["text", torch.ones(7)], 7),
        ((torch.tensor(1.0), torch.ones(8)), 8),
        ([[], {"x": torch.ones(9)}], 9),
        (Pair(torch.ones(2), torch.ones(3)), 2),
        (UserDict(x=torch.ones(5)), 5),
        (torch.tensor(1.0), 1),
        ("text", 1),
        ([], 1),
    ],
)
def test_the_number_of_samples_is_the_length_of_the_first_tensor(batch, count):
    assert sample_count(batch) == count


def test_mapping_keeps_the_kinds_of_containers():
    batch = {"a": Pair(torch.ones(1), [torch.ones(1)]), "b": (1, "x")}
    mapped = map_leaves(lambda leaf: leaf + 1 if isinstance(leaf, torch.Tensor) else leaf, batch)
    assert_same(mapped, {"a": Pair(torch.full((1,), 2.0), [torch.full((1,), 2.0)]), "b": (1, "x")})


class Counted:
    """Batches of 400 bytes; counts the passes over them and how many were drawn."""

    def __init__(self, length=10):
        self.length = length
        self.passes = self.drawn = 0

    def __iter__(self):
        self.passes += 1
        for number in range(self.length):
            self.drawn += 1
            yield torch.rand(100) + number


def all_of(batches, count):
    return torch.stack([batches[number] for number in range(count)])


@pytest.mark.parametrize("window", [0, 400, 1000, 3999])
def test_past_the_window_each_member_makes_one_pass_and_gets_the_same(window):
    source = Counted()
    batches = Batches(source, 3, window=window)
    expected = all_of(Batches(Counted(), 3), 10)
    for member in range(1, 4):
        assert torch.equal(all_of(batches, 10), expected)
        assert (source.passes, source.drawn) == (member, 10 * member)


def test_in_the_window_all_members_share_one_pass():
    source = Counted()
    batches = Batches(source, 3, window=4000)
    for _ in range(3):
        all_of(batches, 10)
    assert source.drawn == 10


@pytest.mark.parametrize("window", [0, 900])
def test_two_readers_in_turn_past_the_window_are_both_right(window):
    batches = Batches(loader(), 3, window=window)
    expected = drawn(Batches(loader(), 3), 12)
    order = [11, 0, 10, 1, 9, 2, 8, 3, 3, 11]
    assert [batches[number][0].tolist() for number in order] == [expected[n] for n in order]


def test_no_more_than_the_window_is_kept():
    batches = Batches(Counted(), 3, window=1000)
    kept = []
    for number in range(25):
        batches[number]
        kept.append(batches._size)
    assert max(kept) == 800
    assert sorted(batches._kept) == [23, 24]


def test_a_source_that_does_not_give_the_same_again_past_the_window_is_refused():
    class Forgetful(Counted):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch + self.passes * 1e-3

    batches = Batches(Forgetful(), 3, window=1000)
    all_of(batches, 10)
    with pytest.raises(InputError, match=r"train gives another batch 0 .* randomness of its own"):
        batches[0]


def test_what_was_forgotten_is_drawn_again_the_same():
    source = Counted()
    batches = Batches(source, 3)
    first = all_of(batches, 15)
    batches.forget()
    assert not batches._kept
    assert torch.equal(all_of(batches, 15), first)
    assert source.passes == 4


def test_a_loader_with_lasting_workers_gives_the_same_whoever_iterated_it_before():
    options = {"num_workers": 1, "persistent_workers": True, "generator": torch.Generator()}
    source = DataLoader(DATA, batch_size=4, shuffle=True, **options)
    plain = DataLoader(DATA, batch_size=4, shuffle=True, generator=torch.Generator())
    expected = drawn(Batches(plain, 3), 1)
    assert source._iterator is None
    batches = Batches(source, 3)
    assert drawn(batches, 1) == expected
    batches.forget()
    assert drawn(batches, 1) == expected
    assert source._iterator is None


@pytest.mark.parametrize("place", ["loader", "sampler", "batch sampler"])
def test_a_generator_of_the_loader_or_its_sampler_follows_the_seed_and_is_put_back(place):
    def source(generator):
        if place == "loader":
            return DataLoader(DATA, batch_size=4, shuffle=True, generator=generator)
        sampler = RandomSampler(DATA, generator=generator)
        if place == "sampler":
            return DataLoader(DATA, batch_size=4, sampler=sampler)
        return DataLoader(DATA, batch_sampler=BatchSampler(sampler, 4, drop_last=False))

    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    before = [each.get_state() for each in generators]
    one, other = (drawn(Batches(source(each), 3), 6) for each in generators)
    assert one == other != drawn(Batches(source(generators[0]), 4), 6)
    for each, state in zip(generators, before, strict=True):
        assert torch.equal(each.get_state(), state)


def test_a_loader_whose_lasting_workers_are_up_gives_what_it_gives_without_them():
    options = {"num_workers": 1, "persistent_workers": True, "generator": torch.Generator()}
    source = DataLoader(DATA, batch_size=4, shuffle=True, **options)
    expected = drawn(Batches(source, 3), 2)
    list(source)
    assert source._iterator is not None
    assert drawn(Batches(source, 3), 2) == expected


@pytest.mark.parametrize("wrong", [0, 4, 8])
def test_every_batch_that_was_let_go_is_checked_when_it_comes_again(wrong):
    class Changes(Counted):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                yield batch + (self.passes > 1 and number == wrong)

    batches = Batches(Changes(), 3, window=0)
    all_of(batches, 10)
    with pytest.raises(InputError, match=f"gives another batch {wrong} when"):
        all_of(batches, 10)


@pytest.mark.parametrize("free", [400, 2**40])
def test_the_usual_window_is_of_what_is_free(monkeypatch, free):
    monkeypatch.setattr("surefoot._engine.batches.free_memory", lambda _: free)
    assert usual_window() == (100 if free == 400 else 2 * 2**30)


X = torch.arange(6.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (X, X + 1e-6),
        (X.bfloat16(), -X.bfloat16()),
        (X > 2, X > 3),
        (torch.complex(X, X), torch.complex(X, -X)),
        (X.to_sparse(), (X + 1).to_sparse()),
        (X.numpy(), X.numpy() + 1),
        (X.reshape(2, 3).T, X.reshape(3, 2)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        ({"x": X, "y": 1}, {"x": X, "y": 2}),
        ((X, "a"), (X, "b")),
        ((X, X + 1), (X + 2, X + 1)),
        (np.arange(5000.0), np.arange(5000.0) * (np.arange(5000) < 4000)),
        (torch.zeros(9000), torch.ones(9000)),
    ],
)
def test_a_checksum_tells_batches_apart_and_is_the_same_for_copies(one, other):
    assert checksum(one) != checksum(other)
    assert checksum(one) == checksum(map_leaves(copy.copy, one))


def test_the_usual_window_is_a_quarter_of_the_free_memory_and_two_gib_at_most():
    assert 0 < usual_window() <= 2 * 2**30
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    assert usual_window() <= 0.3 * free


def test_small_batches_are_drawn_a_few_at_a_time_within_an_epoch_and_the_window():
    class Counted:
        def __init__(self):
            self.given = 0

        def __iter__(self):
            for _ in range(20):
                self.given += 1
                yield torch.full((3,), float(self.given))

    for window, given in ((None, [16, 20, 36]), (0, [1, 17, 21]), (40, [3, 17, 21])):
        source = Counted()
        batches = Batches(source, 0, window=window)
        seen = []
        for number in (0, 16, 20):
            assert batches[number][0] == number + 1
            seen.append(source.given)
        assert seen == given, window
