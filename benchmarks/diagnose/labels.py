"""What each run is, from measurement: how much worse it ended than the best, and on which side.

A fault costs more than 10 % against the best on the same workload, in the measure of regret that
``find`` is judged by; healthy is what costs less than 3 %; what lies between is not scored. For a
constant rate the regret is that of the mean of fifteen seeds; for anything else the run's own,
against runs near the best rate.
"""

import math

import numpy as np
import run as finding
import workloads

FAULT, HEALTHY = 0.10, 0.03
NO_FAULT = ("bad batch", "noisy", "few", "changed", "ordered")


class Labels:
    """Labels of the runs of one workload.

    Args:
        told: what ``runs.read`` returned.
    """

    def __init__(self, told):
        workload = workloads.WORKLOADS[told["workload"]]
        self.judge = finding.Judge(workload)
        near = [
            each
            for each in told["runs"]
            if each["kind"] == "rate" and abs(each["offset"]) <= 0.3 and each["final"] < math.inf
        ]
        self.best = float(np.median([each["final"] for each in near]))
        self.trained = float(np.median([each["trained"] for each in near]))
        start = told["untrained"]
        floor = workload.floor
        self.unit = max(self.best - floor if floor is not None else 0.5 * (start - self.best), 1e-9)
        # near the floor a share of the loss says nothing: at least a hundredth of what was learned
        self.unit = max(self.unit, 0.01 * (start - self.best))
        self.told = told

    def regret(self, run):
        """Return how much worse it ended than the best, as a share."""
        if run["kind"] == "rate" and math.isfinite(run["final"]):
            return max(self.judge.regret(run["lr"]), 0.0)
        return (run["final"] - self.best) / self.unit

    def of(self, run):
        """Return "raise", "lower", "fine" or None (not scored)."""
        kind, regret = run["kind"], self.regret(run)
        if kind in NO_FAULT:
            return self._no_fault(run)
        if not math.isfinite(run["final"]):
            return "lower"
        better_trained = run["trained"] <= 1.03 * self.trained
        if regret < HEALTHY:
            trained = (run["trained"] - self.trained) / max(abs(self.trained), 1e-9)
            return "fine" if trained < 1.0 else None  # its training loss tells another story
        if not regret > FAULT:
            return None
        if kind in ("cut", "wrong unit"):
            return "raise"
        if kind in ("jump", "resumed at the peak"):
            return "lower"
        if kind == "forgets":
            return None
        if run["offset"] < 0:
            return "raise"
        if better_trained:
            return "fine" if run["offset"] < 0.6 else None  # over-fitted: not the rate's fault
        return "lower"

    def _no_fault(self, run):
        if not math.isfinite(run["final"]):
            return None
        if run["kind"] == "bad batch":
            return "fine" if self.regret(run) < FAULT else None
        if run["kind"] in ("noisy", "few") and run["offset"] != 0:
            return None
        if run["kind"] == "noisy":
            same = [e["final"] for e in self.told["runs"] if e["kind"] == "noisy"]
            return "fine" if run["final"] <= (1 + FAULT) * min(same) else None
        return "fine"
