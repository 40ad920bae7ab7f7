from collections import UserDict
from typing import NamedTuple

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from surefoot import InputError
from surefoot._engine.batches import Batches, map_leaves, sample_count
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
