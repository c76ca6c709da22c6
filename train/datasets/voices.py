"""Voices that nobody recorded: espeak-ng reads numbers, in all its languages and voices."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from train.base.errors import DatasetError

VARIANTS = tuple("m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 f5 croak whisper".split())
PER_LANGUAGE = 3


def speak(folder: Path) -> None:
    """Write some clips of each language; what each says follows from its number alone.

    Raises:
        DatasetError: espeak-ng is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise DatasetError("--download: espeak-ng is not here; apt-get install espeak-ng")
    folder.mkdir(parents=True, exist_ok=True)
    for number, language in enumerate(list_languages()):
        for take in range(PER_LANGUAGE):
            random = np.random.default_rng((1, number, take))
            voice = f"{language}+{random.choice(VARIANTS)}"
            text = ", ".join(str(random.integers(0, 10 ** random.integers(1, 6))) for _ in range(7))
            name = f"{language}-n{take}.wav"
            subprocess.run(
                ["espeak-ng", "-v", voice, "-p", str(random.integers(20, 80)),
                 "-s", str(random.integers(110, 200)), "-w", str(folder / name), text],
                check=False, capture_output=True,
            )  # fmt: skip


def list_languages() -> list[str]:
    """Codes of the languages that espeak-ng speaks."""
    listing = subprocess.run(["espeak-ng", "--voices"], check=True, capture_output=True, text=True)
    return sorted({line.split()[1] for line in listing.stdout.splitlines()[1:] if line.strip()})
