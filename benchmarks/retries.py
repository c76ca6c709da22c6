"""Memory and handles that each try to find a lost microphone costs.

    python benchmarks/retries.py [--tries 120]

A private PulseAudio server (Debian: pulseaudio, libasound2-plugins) is the microphone. It is
killed, and tried again without the usual delays. Two ways are compared, each measured in a process
of its own: PortAudio is restarted at each try in the same process ("here"), or another process
looks for the device, as in streamclf ("child").
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]
WARM_UP, N_PARTS = 20, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=120)
    parser.add_argument("--how", choices=["here", "child"])
    options = parser.parse_args()
    if options.how:
        measure(options.how, options.tries)
        return
    for how in ("here", "child"):
        command = [sys.executable, __file__, "--how", how, "--tries", str(options.tries)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def measure(how: str, n_wanted: int) -> None:
    """Stop the server, wait for ``n_wanted`` tries, and print what they cost."""
    import audio_server

    with audio_server.AudioServer() as server:
        os.environ.update(server.env)
        from streamclf.sources.microphone import microphone as module
        from streamclf.sources.microphone.device_identity import ProbeResult
        from streamclf.sources.microphone.portaudio import PortAudioBackend

        class Impatient(module.BackOff):
            def next_s(self) -> float:
                return 0.01

        class Counting(PortAudioBackend):
            n_tries = 0

            def probe(self, lost) -> ProbeResult:
                self.n_tries += 1
                return ProbeResult(present=True) if how == "here" else super().probe(lost)

        module.BackOff = Impatient
        backend = Counting()
        microphone = module.Microphone(backend=backend)
        thread = threading.Thread(target=lambda: [*microphone.blocks(16_000)])
        thread.start()
        time.sleep(1.5)
        server.stop()
        await_tries(backend, WARM_UP)
        kib, began, first = [resident_kib()], time.perf_counter(), backend.n_tries
        for part in range(1, N_PARTS + 1):
            await_tries(backend, first + n_wanted * part // N_PARTS)
            kib.append(resident_kib())
        grown, n_tries = kib[-1] - kib[0], backend.n_tries - first
        took_s = time.perf_counter() - began
        n_files = len([*Path("/proc/self/fd").iterdir()])
        print(
            f"{how:<6} {n_tries} tries, {grown} KiB more (each quarter: "
            f"{', '.join(str(b - a) for a, b in pairwise(kib))}), {grown / n_tries:.2f} KiB and "
            f"{took_s / n_tries:.2f} s a try; {threading.active_count()} threads, {n_files} files"
        )
        microphone.stop()
        thread.join(20)


def await_tries(backend, n_tries: int) -> None:
    """Wait until ``n_tries`` tries have been made."""
    while backend.n_tries < n_tries:
        time.sleep(0.05)


def resident_kib() -> int:
    """Resident memory of this process in KiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    main()
