"""What an exception says, in the room that there is for it."""

import re

__all__ = ["brief", "one_line"]

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])(?:\s*\n|\s+(?=[A-Z]))")


def one_line(error: BaseException) -> str:
    r"""Return the kind of an exception and all that it says, on one line.

    Example:
        >>> one_line(ValueError("too far:\n  3 of 4"))
        'ValueError: too far: 3 of 4'
        >>> one_line(StopIteration())
        'StopIteration'
    """
    return " ".join(_whole(error).split())


def brief(error: BaseException | str, most: int = 120) -> str:
    """Return the first sentence of what an exception says, without its full stop.

    Args:
        error: the exception, or what it said.
        most: characters; what is longer is cut after a word, with a mark.

    Example:
        >>> brief(ValueError("Too far. Go back."))
        'ValueError: Too far'
        >>> brief("far too far", most=9)
        'far too…'
    """
    whole = error if isinstance(error, str) else _whole(error)
    text = " ".join(_END_OF_SENTENCE.split(whole.strip(), maxsplit=1)[0].split()).rstrip(" .")
    if len(text) <= most:
        return text
    return text[:most].rsplit(" ", 1)[0].rstrip(" ,;:(") + "…"


def _whole(error: BaseException) -> str:
    said = str(error).strip()
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
