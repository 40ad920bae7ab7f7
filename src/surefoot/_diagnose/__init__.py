"""Floor 4: the verb ``diagnose``, what is wrong with the learning rate of a run."""

from surefoot._diagnose.diagnose import diagnose as diagnose
from surefoot._diagnose.diagnose import diagnose_log as diagnose_log

__all__ = ["diagnose", "diagnose_log"]
