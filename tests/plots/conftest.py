"""Every example as a fixture."""

import pytest

from .example_figures import FIGURES


@pytest.fixture(params=list(FIGURES))
def example(request):
    """Return the figure data of one of the nouns."""
    return FIGURES[request.param]()
