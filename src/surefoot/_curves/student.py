"""Student's law: how far a mean may be off whose noise is known from few samples."""

import math

import numpy as np

__all__ = ["student"]


def student(freedom: int, level: float) -> float:
    r"""Return the t within which, on both sides of 0, lies ``level`` of the probability.

    With :math:`t = \sqrt{\nu} \tan\theta` the density in θ is that of :math:`\cos^{\nu-1}\theta`.

    Args:
        freedom: degrees of freedom ν, ≥ 1.
        level: probability, in (0, 1).

    Example:
        >>> [round(student(freedom, 0.9), 3) for freedom in (1, 2, 30)]
        [6.314, 2.92, 1.697]

    Reference:
        Student, *The Probable Error of a Mean*, 1908.
    """
    angles = np.linspace(0.0, np.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    inside = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = float(np.interp(level * float(inside[-1]), inside, angles))
    return math.sqrt(freedom) * math.tan(angle)
