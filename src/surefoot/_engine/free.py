"""How much memory is free, on a device and on the host."""

from pathlib import Path

import psutil
import torch

__all__ = ["free_memory"]

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> float:
    """Return the bytes that may still be taken on a device; inf if that is not known."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return float("inf")
    return min(psutil.virtual_memory().available, _left_to_container())


def _left_to_container() -> float:
    """Return what the limit of a container leaves; what is cached of files can be freed."""
    try:
        limit, used = (int(Path(_CGROUP, f"memory.{it}").read_text()) for it in ("max", "current"))
        told = dict(line.split() for line in Path(_CGROUP, "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # none, or "max"
        return float("inf")
    return limit - used + int(told.get("inactive_file", 0))
