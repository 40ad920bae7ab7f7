"""Floor 2, the waist: every noun that verbs return and surfaces show. No torch here."""

from surefoot.records._open import find_runs as find_runs
from surefoot.records._open import read as read
from surefoot.records.cost import Cost as Cost
from surefoot.records.curve import Curve as Curve
from surefoot.records.diagnosis import Diagnosis as Diagnosis
from surefoot.records.diagnosis import Remedy as Remedy
from surefoot.records.diagnosis import Verdict as Verdict
from surefoot.records.export import save_log as save_log
from surefoot.records.finding import Attempt as Attempt
from surefoot.records.finding import Finding as Finding
from surefoot.records.interaction import Cell as Cell
from surefoot.records.interaction import Failure as Failure
from surefoot.records.interaction import Interaction as Interaction
from surefoot.records.interaction import RidgePoint as RidgePoint
from surefoot.records.interaction import Slope as Slope
from surefoot.records.run_log import RunLog as RunLog
from surefoot.records.run_writer import RunWriter as RunWriter
from surefoot.records.sensitivity import Basin as Basin
from surefoot.records.sensitivity import Engine as Engine
from surefoot.records.sensitivity import Member as Member
from surefoot.records.sensitivity import Optimum as Optimum
from surefoot.records.sensitivity import Point as Point
from surefoot.records.sensitivity import Sensitivity as Sensitivity
from surefoot.records.table import Table as Table

__all__ = [
    "Attempt",
    "Basin",
    "Cell",
    "Cost",
    "Curve",
    "Diagnosis",
    "Engine",
    "Failure",
    "Finding",
    "Interaction",
    "Member",
    "Optimum",
    "Point",
    "Remedy",
    "RidgePoint",
    "RunLog",
    "RunWriter",
    "Sensitivity",
    "Slope",
    "Table",
    "Verdict",
    "find_runs",
    "read",
    "save_log",
]
