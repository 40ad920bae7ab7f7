"""Optional libraries, loaded when first needed, with the pip command when they are missing."""

import importlib
from types import ModuleType

from surefoot.errors import MissingExtraError

__all__ = ["need"]

_EXTRA = {
    "torch": "torch",
    "plotly": "plots",
    "matplotlib": "plots",
    "pyarrow": "parquet",
    "sklearn": "demo",
}


def need(module: str, purpose: str) -> ModuleType:
    """Import and return ``module``.

    Args:
        module: dotted name, such as ``"plotly.graph_objects"``.
        purpose: what it is needed for, as the end of "X is needed …": ``"to draw figures"``.

    Raises:
        MissingExtraError: it is not installed; the message gives the pip command.
    """
    root = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != root:
            raise
        extra = _EXTRA.get(root)
        what = f"'surefoot[{extra}]'" if extra else root
        raise MissingExtraError(
            f"{root} is needed {purpose} and is not installed: pip install {what}"
        ) from None
