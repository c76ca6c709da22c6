"""Processors that this process may use: fewer than the machine has, where it was given a share.

A container's share (``docker run --cpus 2``, Kubernetes' limits) is a quota of its control group:
so much processor time in each period. Affinity does not show it, and threads beyond it are halted
until the next period begins.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_PROCESS = Path("/proc/self")


def count_cores(process: Path = _PROCESS) -> int:
    """How many threads can work at a time.

    Args:
        process: Where the system describes this process; another for tests.
    """
    allowed = _count_allowed()
    quota = read_quota(process)
    # Rounded down, as Rust's available_parallelism does: one thread more would be halted.
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def count_if_fewer(process: Path = _PROCESS) -> int:
    """How many threads can work at a time, if the machine has more processors; 0 if not.

    ONNX Runtime counts those of the machine by itself, whatever share of it this process has.
    """
    n_cores = count_cores(process)
    return n_cores if n_cores < (os.cpu_count() or 1) else 0


def _count_allowed() -> int:
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; heeds PYTHON_CPU_COUNT, too
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota(process: Path = _PROCESS) -> float | None:
    """Processors' worth of time that the control groups of this process leave it; None: no limit.

    Args:
        process: Where the system describes this process.
    """
    try:
        groups = (process / "cgroup").read_text().splitlines()
        mounts = [_Mount.parse(line) for line in (process / "mountinfo").read_text().splitlines()]
    except (OSError, ValueError):  # not Linux
        return None
    quotas = []
    for group in groups:
        _, _, rest = group.partition(":")
        controllers, _, path = rest.partition(":")
        for mount in mounts:
            if mount is not None and mount.holds(controllers):
                quotas += _quotas(mount, path)
    return min(quotas, default=None)


@dataclass(frozen=True)
class _Mount:
    """A mounted hierarchy of control groups: where it is, what part of it, under which rules."""

    root: str
    point: Path
    kind: str
    options: list[str]

    @classmethod
    def parse(cls, line: str) -> _Mount | None:
        """Read a line of mountinfo; None if it is none of control groups."""
        fields = line.split()
        if "-" not in fields[6:]:
            return None
        kind, _, options = fields[fields.index("-", 6) + 1 :][:3]
        if kind not in ("cgroup", "cgroup2"):
            return None
        # A blank in a name is written as \040.
        point = fields[4].encode().decode("unicode_escape")
        return cls(fields[3], Path(point), kind, options.split(","))

    def holds(self, controllers: str) -> bool:
        """Whether a line of /proc/self/cgroup speaks of this hierarchy, and of processors."""
        if self.kind == "cgroup2":
            return not controllers
        return "cpu" in controllers.split(",") and "cpu" in self.options


def _quotas(mount: _Mount, path: str) -> list[float]:
    """The quotas of a group and of all above it, as far as they can be seen."""
    try:
        inside = PurePosixPath(path).relative_to(mount.root)
    except ValueError:  # what is mounted here is of elsewhere, such as a container's own
        inside = PurePosixPath()
    found = []
    for group in (inside, *inside.parents):
        folder = mount.point / group
        quota = _quota_v2(folder) if mount.kind == "cgroup2" else _quota_v1(folder)
        if quota is not None:
            found.append(quota)
    return found


def _quota_v2(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Processors; None where there is no limit, which is ``max`` or -1."""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
