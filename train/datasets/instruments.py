"""Instruments that nobody played here: a soundfont's 128 programs and its drums, by fluidsynth."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from train.base.errors import DatasetError

PACKAGE = "fluid-soundfont-gm"
"""Frank Wen's FluidR3 (MIT)."""

SAMPLE_RATE = 32000
N_PROGRAMS = 128
TAKES = 3
TICKS = 480
DRUMS = 9
"""The channel of drums, from 0."""


def render_instruments(archive: Path, folder: Path) -> None:
    """Play every program some times, and drums.

    Args:
        archive: The package's file.
        folder: For ``PROGRAM-nTAKE.flac``; drums are program 128.

    Raises:
        DatasetError: fluidsynth is not installed, or there is no soundfont in the package.
    """
    if shutil.which("fluidsynth") is None:
        raise DatasetError("--download: fluidsynth is not here; apt-get install fluidsynth")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["dpkg-deb", "-x", str(archive), work], check=True, capture_output=True)
        fonts = sorted(p for p in Path(work).rglob("*.sf2") if not p.is_symlink())
        if not fonts:
            raise DatasetError(f"{archive}: holds no soundfont (.sf2)")
        score = Path(work) / "score.mid"
        for program in range(N_PROGRAMS + 1):
            for take in range(TAKES):
                score.write_bytes(compose(program, np.random.default_rng((2, program, take))))
                target = folder / f"{program:03d}-n{take}.flac"
                subprocess.run(
                    ["fluidsynth", "-n", "-i", "-q", "-g", "0.6", "-r", str(SAMPLE_RATE),
                     "-T", "flac", "-F", str(target), str(fonts[0]), str(score)],
                    check=False, capture_output=True,
                )  # fmt: skip


def compose(program: int, random: np.random.Generator) -> bytes:
    """A standard MIDI file of some seconds: notes alone, together or quickly, of one program."""
    drums = program == N_PROGRAMS
    channel = DRUMS if drums else 0
    events: list[tuple[int, bytes]] = []
    if not drums:
        events.append((0, bytes([0xC0, program])))
    at, end = 0, 12 * TICKS
    dense = random.choice([0.25, 0.5, 1.0, 2.0])
    while at < end:
        length = int(TICKS * dense * random.uniform(0.5, 1.5)) + 1
        notes = random.integers(35, 82, random.integers(1, 4)) if drums else _chord(random)
        velocity = int(random.integers(50, 120))
        for note in notes.tolist():
            events.append((at, bytes([0x90 | channel, note, velocity])))
            events.append((at + length, bytes([0x80 | channel, note, 0])))
        at += length
    track, before = b"", 0
    for time, message in sorted(events, key=lambda event: event[0]):
        track += _variable(time - before) + message
        before = time
    track += b"\x00\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def _chord(random: np.random.Generator) -> np.ndarray:
    root = int(random.integers(40, 80))
    steps = [0] if random.random() < 0.6 else [0, int(random.choice([3, 4, 5, 7])), 7]
    return np.array([root + step for step in dict.fromkeys(steps)])


def _variable(number: int) -> bytes:
    """A number as MIDI writes times: seven bits a byte, the highest first."""
    out = [number & 0x7F]
    while number := number >> 7:
        out.append(0x80 | (number & 0x7F))
    return bytes(reversed(out))
