"""Features of common sounds for a model: what ``streamclf teach`` tells a new sound apart from.

    python -m train.common_sounds MODEL.onnx PREPARED

Windows of free sounds (`train.datasets.free_sounds`, prepared), one each of sources drawn evenly,
at drawn levels, every other one over noise. They are heard as live sound is, and written beside the
model in 8 bits, with the licence of the recordings. Half a window of a clip has sound in it at
least.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np

from streamclf.core.errors import StreamclfError
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.write_file import write_model
from streamclf.teach.common_sounds import DIGEST, SCALE, SUFFIX, VALUES
from streamclf.teach.examples import ExampleReader
from train.audio.noise import LOUDNESS, make_noise
from train.base.arguments import Parser
from train.base.errors import TrainError
from train.base.exit_codes import exit_codes
from train.datasets.prepared import ClipSet, open_prepared
from train.datasets.progress import show_progress

LEVEL_DB = (-45.0, -15.0)
SNR_DB = (0.0, 25.0)
FAINTEST = 1e-3
"""Root mean square below which a window of a clip counts as silent."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = Parser(
        prog="python -m train.common_sounds",
        description="Write the features of common sounds beside a model.",
    )
    option = parser.add_argument
    option("model", type=Path, metavar="MODEL.onnx", help="a model whose card names features")
    option("sounds", type=Path, metavar="PREPARED", help="prepared free sounds")
    option("--windows", type=int, default=768, help="how many (768)")
    option("--seed", type=int, default=1, help="what is drawn (1)")
    options = parser.parse_args(arguments)
    try:
        model = Model(options.model, provider="cpu")
        classifier = Classifier(model, features=True)
        clips = open_prepared(options.sounds)
        features = hear(ExampleReader(classifier), clips, options.windows, options.seed)
    except StreamclfError as error:
        raise TrainError(str(error)) from error
    form = model.features
    assert form is not None
    steps = np.clip(np.rint(features / form.scale), -127, 127).astype(np.int8)
    path = options.model.with_name(options.model.stem + SUFFIX)
    arrays = {DIGEST: np.array(form.digest), SCALE: np.array(form.scale), VALUES: steps}
    content = io.BytesIO()
    np.savez_compressed(content, licence=np.array(clips.licence), **arrays)
    write_model(path, content.getvalue())
    print(f"{path}: {len(steps)} windows, {path.stat().st_size / 1000:.0f} kB ({clips.licence})")
    return 0


def hear(
    reader: ExampleReader, clips: ClipSet, n_windows: int, seed: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Hear a window of each of ``n_windows`` clips of different sources: ``(windows, size)``."""
    random = np.random.default_rng(seed)
    by_source: dict[str, list[int]] = {}
    for index, clip in enumerate(clips.clips):
        by_source.setdefault(clip.source, []).append(index)
    sources = random.permutation(sorted(by_source)).tolist()
    size = reader.window
    kept: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    with show_progress("hearing", n_windows, "windows") as update:
        for number in range(20 * n_windows):
            if len(kept) == n_windows:
                break
            index = int(random.choice(by_source[sources[number % len(sources)]]))
            waveform = clips.waveform(index)
            first = int(random.integers(0, max(len(waveform) - size // 2, 1)))
            part = waveform[first : first + size]
            loudness = float(np.sqrt(np.mean(part**2)))
            if loudness < FAINTEST:
                continue
            window = np.pad(part, (0, size - part.size)) / loudness
            if number % 2:
                noise = make_noise(random, size, reader.sample_rate) / LOUDNESS
                window += noise * 10 ** (-random.uniform(*SNR_DB) / 20)
            window *= 10 ** (random.uniform(*LEVEL_DB) / 20)
            heard = reader.listen(np.clip(window, -1, 1).astype(np.float32), 0, size)
            kept.append(heard.features[0])
            update(len(kept))
    return np.stack(kept)


if __name__ == "__main__":
    sys.exit(main())
