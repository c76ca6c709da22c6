"""What EfficientAT says of every window of labelled clips: what ``train.pocket --teacher`` takes.

    python -m train.hear_clips --data ESC-50 --teacher mn04_as_mAP_432.pt -o mn04-esc50.npz

A clip is repeated to ten seconds, as the teacher hears well only if it hears that long. Its maps
are then averaged over each window of 1.5 s: of ESC-50's fold 4 these name 87 % of the windows,
where the windows alone name 79 % (`train.distillation.heard`).

Of a data set in folds nothing is learned here, so one file serves every choice of folds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from train.base.arguments import Parser
from train.base.errors import DatasetError, UsageError
from train.base.exit_codes import exit_codes
from train.datasets import DATASET_NAMES, ClipSet, open_clips
from train.datasets.progress import show_progress
from train.distillation.heard import STEP_S, column_weights, hear_columns
from train.nets.efficientat import BEST_S, SAMPLE_RATE, EfficientAT, open_efficientat, repeat
from train.nets.pocket_network import SAMPLE_RATE as POCKET_RATE
from train.nets.pocket_network import WINDOW_SAMPLES
from train.pocket_parts.teacher import HOP_S

AT_ONCE = 4


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = Parser(
        prog="python -m train.hear_clips",
        description="Ask EfficientAT what it hears in every window of clips.",
    )
    option = parser.add_argument
    option("--data", type=Path, required=True, help="a data set's folder, or a prepared one")
    option("--dataset", choices=DATASET_NAMES, default=DATASET_NAMES[0], help="what lies there")
    option("--prepared", type=Path, help="where prepared clips go (beside the data or in the "
           "cache)")  # fmt: skip
    option("--teacher", type=Path, required=True, metavar="PT", help="mn04_as_mAP_432.pt")
    option("--threads", type=int, default=1, help="CPU threads (1)")
    option("-o", "--output", type=Path, required=True, metavar="NPZ", help="where it goes")
    option("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".npz":
        raise UsageError(f"--output is {options.output}, must end in .npz")
    if options.output.exists() and not options.overwrite:
        raise UsageError(f"{options.output}: exists; --overwrite replaces it")
    torch.set_num_threads(options.threads)
    network, digest = open_efficientat(options.teacher)
    clips = open_clips(options.data, POCKET_RATE, dataset=options.dataset, out=options.prepared)
    features = hear_windows(network, clips)
    names = [Path(clip.filename).stem for clip in clips.clips]
    np.savez(options.output, clip=names, window_embedding=features, teacher=digest)
    print(f"{options.output}: {features.shape[1]} windows of {len(names)} clips of {clips.name}")
    return 0


def hear_windows(network: EfficientAT, clips: ClipSet) -> np.ndarray:
    """``(clips, windows, 384)`` float16, a window every `HOP_S`; all that the longest clip has.

    Raises:
        DatasetError: A clip is longer than the teacher hears at once.
    """
    longest = int(clips.lengths.max())
    if longest > BEST_S * POCKET_RATE:
        raise DatasetError(
            f"{clips.name}: a clip is {longest / POCKET_RATE:.1f} s long, the teacher hears "
            f"{BEST_S:g} s at once; cut longer clips first"
        )
    hop = round(HOP_S / STEP_S)
    n_steps = max(0, longest - WINDOW_SAMPLES) // round(STEP_S * POCKET_RATE)
    weights = column_weights(n_steps + 1)[::hop]
    numbers = np.array_split(np.arange(len(clips.clips)), -(-len(clips.clips) // AT_ONCE))
    parts: list[Tensor] = []
    with torch.inference_mode(), show_progress("hearing", len(numbers), "batches") as update:
        for done, batch in enumerate(numbers, start=1):
            waveforms = torch.cat([_ten_seconds(clips, int(number)) for number in batch])
            columns, _ = hear_columns(network, waveforms)
            parts.append(torch.einsum("wc,bcn->bwn", weights, columns).half())
            update(done)
    return torch.cat(parts).numpy()


def _ten_seconds(clips: ClipSet, number: int) -> Tensor:
    """``(1, samples)`` at the teacher's rate: a clip, again and again."""
    higher = soxr.resample(clips.waveform(number), clips.sample_rate, SAMPLE_RATE)
    n_samples = round(BEST_S * SAMPLE_RATE)
    return repeat(torch.from_numpy(higher.astype(np.float32))[None], n_samples)[:, :n_samples]


if __name__ == "__main__":
    sys.exit(main())
