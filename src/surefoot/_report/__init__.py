"""Floor 7: one self-contained HTML file."""

from surefoot._report.build import Section as Section
from surefoot._report.build import Table as Table
from surefoot._report.build import write_report as write_report
from surefoot._report.report import report as report

__all__ = ["Section", "Table", "report", "write_report"]
