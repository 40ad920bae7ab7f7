"""What an exception says: one line of all, or the first sentence."""

import pytest
import torch
from torch import nn

from surefoot._engine.said import brief, one_line

WORDS = "the shape of the weight of this layer does not fit that of the batch " * 9


def raised_by_torch():
    """Return a long message of torch over several lines."""
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(12)))
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict({})
    return caught.value


def test_a_long_message_of_torch_is_cut_after_a_word():
    error = raised_by_torch()
    assert len(str(error).splitlines()) > 1
    text = brief(error)
    assert text.startswith("RuntimeError: Error(s) in loading state_dict for Sequential: Missing")
    assert len(text) <= 121
    assert text.endswith("…")
    assert text[:-1].rstrip('",') in one_line(error)
    words = one_line(error).split()
    assert text[:-1].split()[-1] in [word.rstrip(",") for word in words]
    assert brief(error, 10_000) == one_line(error).rstrip(".")


def test_the_first_sentence_of_torch_is_enough():
    with pytest.raises(RuntimeError) as caught:
        torch.func.vmap(lambda x: x if x > 0 else -x)(torch.ones(3))
    assert str(caught.value).count(". ") >= 1
    assert brief(caught.value) == (
        "RuntimeError: vmap: It looks like you're attempting to use a Tensor in some "
        "data-dependent control flow"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("all of it", "all of it"),
        ("A stop.", "A stop"),
        ("a file.py: is wrong. Mend it.", "a file.py: is wrong"),
        ("it ends.\nnext line", "it ends"),
        ("a list:\n  one\n  two", "a list: one two"),
        ("version 1.2 is old, i.e. lower", "version 1.2 is old, i.e. lower"),
        ("\n  begins late.\n", "begins late"),
        ("x" * 130, "x" * 120 + "…"),
        ("", ""),
        ("word, " + "y" * 130, "word…"),
    ],
)
def test_a_brief_text_is_the_first_sentence(text, shown):
    assert brief(text) == shown


def test_all_of_it_is_on_one_line():
    assert one_line(ValueError(f"{WORDS}\n\n\t{WORDS}")) == f"ValueError: {WORDS}{WORDS}".strip()
    assert one_line(KeyError("a\nb")) == r"KeyError: 'a\nb'"
    assert one_line(RuntimeError("  ")) == "RuntimeError"
