"""A folder of recordings: FFmpeg's decoded length against what `streamclf file` heard.

    python benchmarks/corpus.py FOLDER [--model M] [--sample N] [--all]

Heard and gaps together are the length that streamclf gives a file. The table lists the files that
differ by more than 20 ms, and those that only one of the two can read. FFmpeg's length is counted
here by a loop of its own over PyAV, frame by frame, without a look at headers or time stamps; it
knows nothing of gaps, so a file with a hole differs by the hole.
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
class Heard:
    """What streamclf made of a file.

    Attributes:
        code: Exit code.
        audio_s: Heard.
        gap_s: Told as missing.
        said: The last line on standard error that says what is wrong; empty if none does.
    """

    code: int
    audio_s: float = 0.0
    gap_s: float = 0.0
    said: str = ""


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
        expected_s, heard = length_by_ffmpeg(path), hear(path, options.model)
        verdict = judge(expected_s, heard)
        verdicts[verdict] += 1
        if options.all or verdict != "same":
            name = str(path.relative_to(options.folder)).replace("|", "\\|")
            told = "cannot be read" if expected_s is None else f"{expected_s:.3f}"
            print(
                f"| {name} | {told} | {heard.audio_s:.3f} | {heard.gap_s:.3f} | {heard.code} | "
                f"{heard.said} |",
                flush=True,
            )
    print(f"\n{len(paths)} files: " + ", ".join(f"{n} {what}" for what, n in verdicts.items()))


def find(folder: Path, sample: int | None) -> list[Path]:
    """Files with the ending of a recording; of each ending so many."""
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
    """Seconds that FFmpeg decodes; None where it decodes none."""
    seconds = 0.0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            streams = [s for s in container.streams.audio if s.codec_context is not None]
            for packet in container.demux(streams[0]):
                with contextlib.suppress(av.FFmpegError):
                    seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass  # what came before it counts
    return seconds or None


def hear(path: Path, model: str) -> Heard:
    """Run `streamclf file` on it, in this process."""
    said = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(nowhere),
    ):
        stats = Path(folder) / "stats.json"
        code = cli.run(["file", str(path), "--model", model, "--stats", str(stats)])
        counts = json.loads(stats.read_text()) if stats.exists() else {}
    lines = [line for line in said.getvalue().splitlines() if "error: " in line] or [
        line for line in said.getvalue().splitlines() if f"{path}: " in line
    ]
    line = lines[-1].split(str(path))[-1].strip(": ") if lines else ""
    if not counts:
        return Heard(code, said=line)
    rate = counts["sample_rate"]
    return Heard(code, counts["delivered_samples"] / rate, counts["gap_samples"] / rate, line)


def judge(expected_s: float | None, heard: Heard) -> str:
    """One or two words."""
    length_s = heard.audio_s + heard.gap_s
    if expected_s is None:
        return "read by neither" if not heard.audio_s else "read by streamclf alone"
    if not heard.audio_s:
        return "read by FFmpeg alone"
    if abs(length_s - expected_s) <= LIMIT_S:
        return "same"
    if abs(heard.audio_s - expected_s) <= LIMIT_S:
        return "same, with gaps told"
    return "longer" if length_s > expected_s else "SHORTER"


if __name__ == "__main__":
    sys.exit(main())
