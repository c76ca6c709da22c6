"""A quick test of what layers have learned, on a labelled set; cheap enough for every checkpoint.

    python -m train.probe RUN --data ESC-50 --folds 1,2,3 --test-fold 4 --labels LABELS.csv

Logistic regression on what the layers say of windows of 1.5 s every 0.5 s, and the mean of its
scores over each clip; and, without any training, the labels of the pupil's own head by their names
(`train.datasets.audioset`). RUN is one of `train.distil`, ended or not: the averaged weights of its
last checkpoint are heard.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from train.base.arguments import Parser
from train.base.errors import UsageError
from train.base.exit_codes import exit_codes
from train.datasets import ClipSet, open_clips
from train.datasets.audioset import columns_of, read_label_names
from train.distil import judge, shards_of
from train.distillation.heard import STEP_S, Heard
from train.distillation.pupil import AnyPupil, make_pupil
from train.nets.pocket_network import SAMPLE_RATE
from train.pocket_parts.last_layer import fit_logistic
from train.run_folder.checkpoint import LAST
from train.run_folder.run import CONFIG, RunFolder

HOP_S = 0.5
WEIGHT_DECAY = 3e-3


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = Parser(prog="python -m train.probe", description="Judge a run of train.distil.")
    option = parser.add_argument
    option("run", type=Path, metavar="RUN", help="a run of train.distil, ended or not")
    option("--data", type=Path, required=True, help="ESC-50's folder")
    option("--folds", default="1,2,3", help="folds to fit to (1,2,3)")
    option("--test-fold", type=int, default=4, help="the fold to judge by (4)")
    option("--labels", type=Path, metavar="CSV", help="AudioSet's class_labels_indices.csv")
    option("--cache", type=Path, metavar="DIR", help="the run's shards: judge by its held-out "
           "sources, too (needs --teacher)")  # fmt: skip
    option("--teacher", type=Path, metavar="PT", help="mn04_as_mAP_432.pt")
    option("--threads", type=int, default=1, help="CPU threads (1)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if (options.cache is None) != (options.teacher is None):
        raise UsageError("--cache and --teacher belong together: give both, or neither")
    pupil, step = read_pupil(options.run)
    if options.cache is not None:
        folder = shards_of(options.cache, "judged", type(pupil))
        front_end = pupil.make_front_end()
        heard = Heard(folder, None, options.teacher, 0, front_end, pupil.hints_kept)
        judged = judge(pupil, heard)
        print(f"step {step}: explains {judged['explained_variance']:.1%} of the teacher's features "
              "on held-out sources, puts the same label first in "
              f"{judged['agreement']:.1%} of windows")  # fmt: skip
    folds = [int(fold) for fold in options.folds.split(",")]
    clips = open_clips(options.data, SAMPLE_RATE).of_folds([*folds, options.test_fold])
    features, logits = hear(pupil, clips)
    held = torch.tensor([clip.fold == options.test_fold for clip in clips.clips])
    targets = torch.from_numpy(clips.targets)
    head = nn.Linear(features.shape[2], len(clips.labels))
    n_windows = features.shape[1]
    fit_logistic(
        head, features[~held].flatten(0, 1), targets[~held].repeat_interleave(n_windows),
        WEIGHT_DECAY,
    )  # fmt: skip
    with torch.inference_mode():
        scores = head(features[held]).softmax(dim=2)
    wanted = targets[held]
    clip = (scores.mean(dim=1).argmax(dim=1) == wanted).float().mean()
    window = (scores.argmax(dim=2) == wanted[:, None]).float().mean()
    print(f"step {step}: logistic regression names {clip:.1%} of fold {options.test_fold}'s clips, "
          f"{window:.1%} of windows")  # fmt: skip
    if options.labels is not None:
        columns = columns_of(read_label_names(options.labels), clips.labels)
        said = torch.sigmoid(logits).mean(dim=1)
        by_name = torch.stack([said[:, own].amax(dim=1) for own in columns], dim=1)
        right = by_name.argmax(dim=1) == targets
        for name, rows in (("that fold", held), ("all these folds", held | ~held)):
            print(
                f"by AudioSet's names, without training: {right[rows].float().mean():.1%} of {name}"
            )
    return 0


def read_pupil(path: Path) -> tuple[AnyPupil, int]:
    """The pupil with its averaged weights, and after how many steps.

    Raises:
        RunError: There is no checkpoint, or it is of another network.
    """
    import json

    run = RunFolder.open(path)
    tensors, note = run.read_tensors(LAST)
    part = "average/"
    pupil = make_pupil(run.read_json(CONFIG))
    average = {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
    pupil.load_state_dict(average)
    return pupil.eval(), json.loads(note["progress"])["step"]


@torch.inference_mode()
def hear(pupil: AnyPupil, clips: ClipSet) -> tuple[Tensor, Tensor]:
    """``(clips, windows, channels)`` of the body, ``(clips, windows, 527)`` logits."""
    front_end = pupil.make_front_end()
    pairs = []
    for index in range(len(clips.clips)):
        waveform = torch.from_numpy(clips.waveform(index))[None]
        spectra = front_end.compress(front_end.power_by_fft(waveform))
        pairs.append(pupil.listen(spectra, round(HOP_S / STEP_S)))
    features, logits = (torch.stack(kind) for kind in zip(*pairs, strict=True))
    return features, logits


if __name__ == "__main__":
    sys.exit(main())
