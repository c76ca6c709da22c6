"""Processors: those that this process may use, and the part of them that its container has."""

import os
from pathlib import Path

import pytest

from streamclf.core.cpu_count import count_cores, count_limited_cores, read_quota


@pytest.fixture
def process(tmp_path):
    """Describe a process to the function: its groups, what is mounted, and files below that."""

    def describe(groups: str, mounts: list[str], files: dict[str, str]) -> Path:
        folder = tmp_path / "proc"
        folder.mkdir()
        (folder / "cgroup").write_text(groups)
        lines = ["22 1 0:21 / / rw - ext4 /dev/root rw"]
        lines += [line.format(tmp_path / "sys") for line in mounts]
        (folder / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
        for name, text in files.items():
            path = tmp_path / "sys" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return folder

    return describe


V2 = ["31 22 0:27 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"]
V1 = [
    "31 22 0:27 {root} {{}}/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct",
    "32 22 0:28 / {{}}/memory rw - cgroup cgroup rw,memory",
    "33 22 0:29 / {{}}/unified rw - cgroup2 cgroup2 rw",
]


@pytest.mark.parametrize(
    ("path", "files", "quota"),
    [
        ("/", {"cpu.max": "150000 100000"}, 1.5),
        ("/", {"cpu.max": "max 100000"}, None),
        ("/", {}, None),
        ("/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("/a/b", {"a/b/cpu.max": "20000 10000", "a/cpu.max": "50000 10000"}, 2.0),
        ("/a/b", {"a/b/cpu.max": "nonsense"}, None),
        # What is named lies outside of what this container sees.
        ("/../b", {"cpu.max": "300000 100000"}, 3.0),
    ],
)
def test_the_quota_of_a_control_group_is_read(process, path, files, quota):
    assert read_quota(process(f"0::{path}\n", V2, files)) == quota


@pytest.mark.parametrize(
    ("root", "path", "folder"),
    [("/", "/docker/x", "docker/x/"), ("/docker/x", "/docker/x", ""), ("/other", "/docker/x", "")],
)
def test_the_quota_of_an_older_control_group_is_read(process, root, path, folder):
    mounts = [line.format(root=root) for line in V1]
    groups = f"9:memory:/\n4:cpu,cpuacct:{path}\n0::/\n"
    files = {
        f"cpu,cpuacct/{folder}cpu.cfs_quota_us": "250000",
        f"cpu,cpuacct/{folder}cpu.cfs_period_us": "100000",
        "cpu,cpuacct/cpu.cfs_quota_us" if folder else "memory/x": "-1",
    }
    assert read_quota(process(groups, mounts, files)) == 2.5


def test_a_mount_with_a_blank_in_its_name_is_found(process, tmp_path):
    mounts = ["31 22 0:27 / {}/a\\040b rw - cgroup2 none rw"]
    assert read_quota(process("0::/\n", mounts, {"a b/cpu.max": "100000 100000"})) == 1.0


def test_cores_are_what_affinity_and_quota_leave(process, tmp_path):
    here = count_cores(tmp_path / "none")
    assert read_quota(tmp_path / "none") is None
    assert 1 <= here <= (os.cpu_count() or 1)
    assert count_limited_cores(tmp_path / "none") == (here if here < os.cpu_count() else 0)
    small = process("0::/\n", V2, {"cpu.max": "40000 100000"})
    assert count_cores(small) == 1
    assert count_limited_cores(small) == (1 if os.cpu_count() > 1 else 0)
    (tmp_path / "sys" / "cpu.max").write_text(f"{100_000 * (here + 3)} 100000\n")
    assert count_cores(small) == here


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity")
def test_affinity_is_respected(tmp_path):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_cores(tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)
