"""Ray, started on this machine or joined elsewhere. It says nothing and tells nobody."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamclf.archive.workers import WorkerOptions
from streamclf.core import log
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import ClusterError, UsageError
from streamclf.core.redaction import mask_text, one_line

OBJECT_STORE_BYTES = 80_000_000
"""Memory for Ray's own objects on this machine. Items and reports are small and need none."""


_SLOW = "timed out during startup"
"""What Ray says where its own processes took more than half a minute to start."""
REACHED_S = 10.0
"""Longest wait for an answer at a cluster's address, in seconds."""


@contextmanager
def connect(options: WorkerOptions) -> Iterator[Any]:
    """Start Ray on this machine, or join a cluster; what was started here ends with the context.

    Yields:
        The module ``ray``, connected.

    Raises:
        UsageError: Ray is not installed, or this machine has not the GPUs that are asked for.
        ClusterError: Ray does not start, or there is no such cluster.
    """
    # Ray reads it when it is imported, and so does all that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if find_address(options) == "local":
        # It listens on the network, and runs what it is sent.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise UsageError(
            "Ray is not installed: pip install 'streamclf[archive]', or do without it: "
            "streamclf archive run RESULTS --shard 1/1"
        ) from None
    # Ray prints what happens to nodes on standard output, whatever it is told about its log.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        context = _start(ray, options)
        try:
            if url := getattr(context, "dashboard_url", None):
                log.say(f"Ray's dashboard: http://{url}")
            _check_gpus(ray, options)
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, options: WorkerOptions) -> Any:
    address, here = find_address(options), {}
    _check_reachable(address)
    if address == "local":
        here = {
            "num_cpus": options.workers or max(options.gpus or 0, count_cores()),
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    at_end = signal.getsignal(signal.SIGTERM)

    def start() -> Any:
        return ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **here)

    try:
        try:
            return start()
        except Exception as error:
            if address != "local" or _SLOW not in str(error):
                raise
            log.say("Ray did not start in 30 s, as on a busy machine: it is started once more")
            ray.shutdown()
            return start()
    except Exception as error:
        reason = one_line(mask_text(str(error).strip().partition("\n")[0].partition(". ")[0]))
        if address == "local":
            raise ClusterError(
                f"Ray does not start on this machine: {reason}: do without it: --shard 1/1"
            ) from error
        raise ClusterError(_describe_absent(address, reason)) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, at_end)  # Ray's handler would end the process at once


def _check_reachable(address: str) -> None:
    """Check that something listens at an address; Ray itself would ask for minutes.

    Raises:
        ClusterError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_S).close()
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ClusterError(_describe_absent(address, reason)) from error


def _describe_absent(address: str, reason: str) -> str:
    return (
        f"--ray {address}: no cluster can be joined: {reason}: `ray status` shows whether one runs"
    )


def find_address(options: WorkerOptions) -> str:
    """Find the address of the cluster: the one asked for, or of whose job this is, or ``local``."""
    return options.ray or os.environ.get("RAY_ADDRESS") or "local"


def _check_gpus(ray: Any, options: WorkerOptions) -> None:
    """Check that this machine has the GPUs; a cluster may yet get them.

    Raises:
        UsageError: It has fewer.
    """
    n_gpus = int(ray.cluster_resources().get("GPU", 0))
    if find_address(options) == "local" and n_gpus < (options.gpus or 0):
        raise UsageError(
            f"--gpus {options.gpus}: this machine has {n_gpus}: ask for fewer, or join a cluster "
            "by --ray"
        )
