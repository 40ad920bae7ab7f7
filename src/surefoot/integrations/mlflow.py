"""MLflow: what a watch records, into the run that is active or into one of its own."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot._base.lazy import need
from surefoot.integrations._tags import usual

__all__ = ["Mirror"]

_BLOCK = 500
"""Metrics that are sent together; MLflow takes 1,000 at most."""

_SECONDS = 2.0
"""Metrics are sent after this time, also if they are few."""

_LONG = 500
"""Characters that MLflow keeps of a parameter."""


class Mirror:
    """Logs metrics such as ``train/loss`` and ``val/loss``, in batches that a thread sends.

    Args:
        path: the run folder; a run of its own is called like it.
        tags: what is known about the run; logged as parameters.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self, path: Path, tags: Mapping[str, Any]) -> None:
        mlflow = need("mlflow", "to mirror a watch there")
        self._mlflow = mlflow
        self._own = mlflow.active_run() is None
        run = mlflow.start_run(run_name=path.name) if self._own else mlflow.active_run()
        self._id = run.info.run_id
        self._client = mlflow.MlflowClient()
        self._metrics: list[Any] = []
        self._sent: list[Any] = []
        self._last = time.monotonic()
        mlflow.log_params({f"surefoot.{key}": str(value)[:_LONG] for key, value in tags.items()})

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Gather values of an update, and send them when that is due."""
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        self._metrics += [metric(name, value, now, update) for name, value in usual(values).items()]
        if len(self._metrics) >= _BLOCK or time.monotonic() - self._last > _SECONDS:
            self._send()

    def close(self) -> None:
        """Send what is left, wait for all of it, and end the run if it is the watch's own."""
        self._send()
        for sent in self._sent:
            sent.wait()
        if self._own:
            self._mlflow.end_run()

    def _send(self) -> None:
        metrics, self._metrics = self._metrics, []
        self._last = time.monotonic()
        for start in range(0, len(metrics), _BLOCK):
            block = metrics[start : start + _BLOCK]
            self._sent.append(self._client.log_batch(self._id, block, synchronous=False))
