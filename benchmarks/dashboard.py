"""CPU time of the dashboard: `streamclf listen` with it and without it, side by side.

    python benchmarks/dashboard.py [--seconds 30]

Both are whole processes that get the same recording through the same simulated microphone, in turn.
The one with the dashboard draws on a pseudo-terminal of 120x40 in 24-bit colour, which a thread
here reads. CPU is user and system time of the process, relative to the time that passed, after the
start-up.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
LISTEN = [sys.executable, "-m", "streamclf", "listen", "--source", f"sim:{EXAMPLE}", "--loop"]
SETTLE_S = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_CONFIG_HOME": folder, "COLORTERM": "truecolor"}
        env["TERM"] = "xterm-256color"
        plain, _ = measure([*LISTEN, "--no-ui"], env, seconds)
        shown, n_bytes = measure([*LISTEN, "--fresh"], env, seconds)
    print(f"--no-ui     {plain:6.1f} % of a core")
    print(f"dashboard   {shown:6.1f} % of a core, {n_bytes / seconds / 1000:.0f} kB/s drawn")
    print(f"difference  {shown - plain:6.1f} % of a core (limit 33)")


def measure(command: list[str], env: dict[str, str], seconds: float) -> tuple[float, int]:
    """Measure CPU in percent of a core, and bytes written to the terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    )
    os.close(slave)
    drawn = [0]
    reader = threading.Thread(target=drain, args=(master, drawn), daemon=True)
    reader.start()
    time.sleep(SETTLE_S)
    cpu, n_bytes, began = cpu_s(process.pid), drawn[0], time.perf_counter()
    time.sleep(seconds)
    used, passed = cpu_s(process.pid) - cpu, time.perf_counter() - began
    n_bytes = drawn[0] - n_bytes
    process.send_signal(signal.SIGTERM)
    process.wait()
    return 100 * used / passed, n_bytes


def drain(master: int, drawn: list[int]) -> None:
    """Read what is drawn, as a terminal would."""
    while True:
        try:
            drawn[0] += len(os.read(master, 65536))
        except OSError:
            return


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, all threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
