"""Floor 3: what can be measured at an update, one file each."""

from surefoot.quantities._quantity import Quantity as Quantity
from surefoot.quantities._update import Part as Part
from surefoot.quantities._update import Update as Update
from surefoot.quantities._update import is_sharded as is_sharded
from surefoot.quantities.alpha import Alpha as Alpha
from surefoot.quantities.grad_norm import GradNorm as GradNorm
from surefoot.quantities.learning_rate import LearningRate as LearningRate
from surefoot.quantities.loss_z import LossZ as LossZ
from surefoot.quantities.noise_scale import NoiseScale as NoiseScale
from surefoot.quantities.non_finite import NonFinite as NonFinite
from surefoot.quantities.sharpness import Sharpness as Sharpness
from surefoot.quantities.skipped import Skipped as Skipped
from surefoot.quantities.update_ratio import UpdateRatio as UpdateRatio

__all__ = [
    "Alpha",
    "GradNorm",
    "LearningRate",
    "LossZ",
    "NoiseScale",
    "NonFinite",
    "Part",
    "Quantity",
    "Sharpness",
    "Skipped",
    "Update",
    "UpdateRatio",
    "is_sharded",
]
