"""The command `verify`: it proves that every way to listen gives the same results."""

from __future__ import annotations

import tempfile
from pathlib import Path

from streamclf.checks.self_check import make_opener
from streamclf.checks.synthetic_sounds import write_sounds
from streamclf.checks.verify import Finding, Verification
from streamclf.core.errors import FAILED, OK
from streamclf.core.settings import Settings
from streamclf.model.options import ModelOptions
from streamclf.runs.console import say


def verify(model: ModelOptions, settings: Settings, path: Path | None, seed: int) -> int:
    """Run a recording, or made sounds, in every way; say whether it comes to the same.

    Args:
        model: Which.
        settings: How to listen.
        path: The recording; None makes sounds.
        seed: Of block sizes, and of the sounds.

    Returns:
        The exit code.

    Raises:
        StreamclfError: The model or the recording cannot be opened, or breaks off.
    """
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path, name = Path(folder) / "sounds.wav", f"sounds made with seed {seed}"
            write_sounds(path, SOUNDS_S, seed)
        else:
            name = str(path)
        verification = Verification(make_opener(model), path, settings, seed)
        print(f"{name}, blocks cut with seed {seed}")
        findings: list[Finding] = []
        for finding in verification.findings():
            if not findings:
                print(f"{'file path':<17} {'measure':<8}  {verification.describe()}", flush=True)
            print(finding, flush=True)
            findings.append(finding)
    n_bad = sum(not finding.good for finding in findings)
    if verification.failure is not None:
        raise verification.failure
    if n_bad:
        say(f"error: {n_bad} of {len(findings)} checks found a difference")
    return FAILED if n_bad else OK


SOUNDS_S = 60.0
"""Length of the made sounds, in seconds: long enough for recordings to share the stem."""
