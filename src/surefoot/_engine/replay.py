"""A loader whose batches can be drawn again from where a search began."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

from surefoot._engine.batches import copied
from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = ["Place", "Replay", "replay"]

_END = object()
"""Stands in the record where an epoch ended."""

Place = tuple[int, bool]
"""How much of the record was given, and whether the middle of an epoch was reached."""


class Replay:
    """A loader that can go back: it records what is drawn while somebody may want it again.

    There is one place in the data, whatever looks at it: ``iter`` leaves the epoch for the next
    one, unless none was begun, and ``next`` gives the batch at that place. Batches are drawn under
    random generators of their own, so that drawing ahead changes nothing in a training. Other
    attributes are the loader's.

    Args:
        loader: batches; can be iterated again and again.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._source: Iterator[Any] | None = None
        self._random: RandomState | None = None
        self._record: list[Any] = []
        self._at = 0  # place in the record; without a mark what is before it is forgotten
        self._begun = False
        self._marks = 0

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # not there yet while it is being copied
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __iter__(self) -> Self:
        if self._begun:
            if not any(each is _END for each in self._record[self._at :]):
                self._source = None
                self._record.append(_END)
            while self._begun:
                self._take()
        return self

    def __next__(self) -> Any:
        batch = self._take()
        if batch is _END:
            raise StopIteration
        return copied(batch) if self._marks else batch

    def mark(self) -> Place:
        """Record from here on; return the place, for :meth:`rewind`."""
        self._marks += 1
        return self._at, self._begun

    def rewind(self, place: Place) -> None:
        """Go back to a place: what was drawn since is given again."""
        self._at, self._begun = place

    def release(self) -> None:
        """Take a mark back. What lies beyond the place is still given, then forgotten."""
        self._marks -= 1
        self._forget()

    def _take(self) -> Any:
        if self._at == len(self._record):
            self._record.append(self._draw())
        batch = self._record[self._at]
        self._at += 1
        self._begun = batch is not _END
        self._forget()
        return batch

    def _draw(self) -> Any:
        if self._random is None:
            self._random = RandomState()
        with self._random.active():
            if self._source is None:
                self._source = iter(self._loader)
            batch = next(self._source, _END)
            if batch is _END:
                self._source = None
        return batch

    def _forget(self) -> None:
        if not self._marks:
            del self._record[: self._at]
            self._at = 0


def replay(loader: Iterable[Any]) -> Replay:
    """Return a loader that :func:`surefoot.find` can take back to where it began.

    The iterator of a DataLoader has no state that could be restored: batches that a search draws
    are gone. Wrapped, and named in ``restore``, it gives the same batches to each short training,
    and the training that follows gets the batches that it would have got without the search.

    Args:
        loader: a DataLoader, a list, or another loader that can be iterated again and again.

    Returns:
        A loader with the same batches, length and attributes. Only while a search runs, and until
        the training has used what the search drew, does it keep batches in memory. It has one
        place in the data: iterate it once at a time.

    Raises:
        InputError: ``loader`` can be iterated only once, or not at all.

    Example:
        >>> import surefoot as sf
        >>> batches = sf.replay([10, 20, 30])
        >>> place = batches.mark(); _ = next(batches), next(batches)
        >>> batches.rewind(place); batches.release()
        >>> list(batches), list(batches)
        ([10, 20, 30], [10, 20, 30])
    """
    if isinstance(loader, Iterator) or not isinstance(loader, Iterable):
        raise InputError(
            "replay needs a loader that can be iterated again and again, such as a DataLoader or a "
            f"list; a {type(loader).__name__} was given."
        )
    return Replay(loader)
