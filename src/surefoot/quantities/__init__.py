"""Floor 3: what can be measured at an update, one file each."""

from surefoot.quantities._quantity import Quantity as Quantity
from surefoot.quantities.grad_norm import GradNorm as GradNorm
from surefoot.quantities.learning_rate import LearningRate as LearningRate
from surefoot.quantities.update_ratio import UpdateRatio as UpdateRatio

__all__ = ["GradNorm", "LearningRate", "Quantity", "UpdateRatio"]
