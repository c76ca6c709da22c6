"""Number of processors that this process may use, which may be fewer than the machine has.

A container's limit (``docker run --cpus 2``, limits in Kubernetes) is a quota of its control group:
an amount of processor time in each period. The processor affinity does not show this limit. Threads
that exceed it are halted until the next period begins.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_PROCESS = Path("/proc/self")


def count_cores(process: Path = _PROCESS) -> int:
    """Count the threads that can work at the same time.

    Args:
        process: Folder in which the system describes this process; tests pass another.
    """
    allowed = _count_allowed()
    quota = read_quota(process)
    # Rounded down, as Rust's available_parallelism does: one more thread would often be halted.
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def count_limited_cores(process: Path = _PROCESS) -> int:
    """Count the threads that can work at the same time; 0 if every processor may be used.

    ONNX Runtime counts the processors of the whole machine by itself, so it must be told of a
    smaller number.
    """
    n_cores = count_cores(process)
    return n_cores if n_cores < (os.cpu_count() or 1) else 0


def _count_allowed() -> int:
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; also reads PYTHON_CPU_COUNT
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota(process: Path = _PROCESS) -> float | None:
    """Read the limit that control groups set for this process, in processors; None for no limit.

    Args:
        process: Folder in which the system describes this process.
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
    """A mounted hierarchy of control groups.

    Attributes:
        root: Path within the hierarchy that is mounted.
        point: Folder where it is mounted.
        kind: ``cgroup`` (version 1) or ``cgroup2``.
        options: Mount options; in version 1 they name the controllers.
    """

    root: str
    point: Path
    kind: str
    options: list[str]

    @classmethod
    def parse(cls, line: str) -> _Mount | None:
        """Read a line of mountinfo; None if it describes another kind of file system."""
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
        """Whether this hierarchy limits processors for a line of /proc/self/cgroup."""
        if self.kind == "cgroup2":
            return not controllers
        return "cpu" in controllers.split(",") and "cpu" in self.options


def _quotas(mount: _Mount, path: str) -> list[float]:
    """Read the quotas of a group and of all groups above it, as far as they are visible."""
    try:
        inside = PurePosixPath(path).relative_to(mount.root)
    except ValueError:  # the mounted part lies elsewhere: a container sees only its own group
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
    """Divide a quota by its period; None where there is no limit, written as ``max`` or -1."""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
