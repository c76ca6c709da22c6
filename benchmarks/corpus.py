"""Decoded lengths of a folder of recordings: FFmpeg's against `streamclf file`'s.

    python benchmarks/corpus.py FOLDER [--model M] [--sample N] [--all]

Streamclf's length of a file is its delivered audio plus its gaps. The table lists the files that
differ by more than 20 ms, and those that only one of the two can read. FFmpeg's length is counted
here by a loop of its own over PyAV, frame by frame, without headers or time stamps. It has no gaps,
so a file with a hole differs by the hole.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging

from streamclf.cli import main as cli

LIMIT_S = 0.02
ENDINGS = frozenset(
    "wav wave bwf mp3 mp2 ogg oga opus spx flac aif aiff aifc au snd m4a m4b mp4 mov mkv mka webm "
    "wma asf aac ac3 eac3 amr 3gp ape wv tta mpc tak ofr dsf caf w64 rf64 voc avi flv ts gsm g722 "
    "oggflac oggtheora sph nist dts".split()
)


@dataclass
class Outcome:
    """The result of `streamclf file` for a file.

    Attributes:
        code: Exit code.
        audio_s: Delivered audio in seconds.
        gap_s: Reported gaps in seconds.
        message: The last error line on standard error; empty if there is none.
    """

    code: int
    audio_s: float = 0.0
    gap_s: float = 0.0
    message: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--sample", type=int, help="take so many files of each ending, at random")
    parser.add_argument("--all", action="store_true", help="list every file")
    options = parser.parse_args()
    av.logging.set_level(None)
    paths = find(options.folder, options.sample)
    print("| file | FFmpeg s | heard s | gaps s | exit | what it said |")
    print("|---|---|---|---|---|---|")
    verdicts: Counter[str] = Counter()
    for path in paths:
        expected_s, outcome = length_by_ffmpeg(path), run_streamclf(path, options.model)
        verdict = compare_lengths(expected_s, outcome)
        verdicts[verdict] += 1
        if options.all or verdict != "same":
            name = str(path.relative_to(options.folder)).replace("|", "\\|")
            expected = "cannot be read" if expected_s is None else f"{expected_s:.3f}"
            print(
                f"| {name} | {expected} | {outcome.audio_s:.3f} | {outcome.gap_s:.3f} | "
                f"{outcome.code} | {outcome.message} |",
                flush=True,
            )
    print(f"\n{len(paths)} files: " + ", ".join(f"{n} {what}" for what, n in verdicts.items()))


def find(folder: Path, sample: int | None) -> list[Path]:
    """Find files with the ending of a recording; ``sample`` files of each ending, if given."""
    by_ending: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        ending = path.suffix.lower().lstrip(".")
        if ending in ENDINGS and path.is_file() and path.stat().st_size:
            by_ending.setdefault(ending, []).append(path)
    chosen = random.Random(0)
    for ending, paths in by_ending.items():
        if sample is not None and len(paths) > sample:
            by_ending[ending] = chosen.sample(paths, sample)
    return sorted(path for paths in by_ending.values() for path in paths)


def length_by_ffmpeg(path: Path) -> float | None:
    """Seconds that FFmpeg decodes; None if it decodes nothing."""
    seconds = 0.0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            streams = [s for s in container.streams.audio if s.codec_context is not None]
            for packet in container.demux(streams[0]):
                with contextlib.suppress(av.FFmpegError):
                    seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass  # the audio before the error counts
    return seconds or None


def run_streamclf(path: Path, model: str) -> Outcome:
    """Run `streamclf file` on a file, in this process."""
    errors = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(nowhere),
    ):
        stats = Path(folder) / "stats.json"
        code = cli.run(["file", str(path), "--model", model, "--stats", str(stats)])
        counts = json.loads(stats.read_text()) if stats.exists() else {}
    lines = [line for line in errors.getvalue().splitlines() if "error: " in line] or [
        line for line in errors.getvalue().splitlines() if f"{path}: " in line
    ]
    line = lines[-1].split(str(path))[-1].strip(": ") if lines else ""
    if not counts:
        return Outcome(code, message=line)
    rate = counts["sample_rate"]
    return Outcome(code, counts["delivered_samples"] / rate, counts["gap_samples"] / rate, line)


def compare_lengths(expected_s: float | None, outcome: Outcome) -> str:
    """Compare the two lengths, in one or two words."""
    length_s = outcome.audio_s + outcome.gap_s
    if expected_s is None:
        return "read by neither" if not outcome.audio_s else "read by streamclf alone"
    if not outcome.audio_s:
        return "read by FFmpeg alone"
    if abs(length_s - expected_s) <= LIMIT_S:
        return "same"
    if abs(outcome.audio_s - expected_s) <= LIMIT_S:
        return "same, with gaps told"
    return "longer" if length_s > expected_s else "SHORTER"


if __name__ == "__main__":
    sys.exit(main())
