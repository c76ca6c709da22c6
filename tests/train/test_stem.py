# ruff: noqa: E402
"""Where the exporter cuts graphs whose right answer is known."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from graphs import trace
from torch import nn

from export.errors import ExportError
from export.stem import find_stem as stems
from export.stem import trials
from export.stem.find_stem import find_stem
from train.nets.log_mel import LogMel

pytestmark = pytest.mark.train

RATE, WINDOW = 16_000, 24_000


class Pooled(nn.Module):
    """Layers over frames, then mean and maximum over time and a linear layer."""

    def __init__(self, front: nn.Module, layers: nn.Module, n_maps: int) -> None:
        super().__init__()
        self.front, self.layers, self.output = front, layers, nn.Linear(n_maps, 3)

    def forward(self, waveform):
        maps = self.layers(self.front(waveform))
        return self.output(maps.mean(dim=-1) + maps.amax(dim=-1))


class Over(nn.Module):
    """Layers over the waveform itself."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, waveform):
        return self.layers(waveform[:, None])


class PerClip(nn.Module):
    """Standardises each window by itself."""

    def forward(self, waveform):
        return (waveform - waveform.mean(dim=1, keepdim=True)) / waveform.std(dim=1, keepdim=True)


def conv(n_inputs: int, n_outputs: int, size: int, stride: int, pad: int = 0) -> nn.Module:
    return nn.Sequential(nn.Conv1d(n_inputs, n_outputs, size, stride, pad), nn.ReLU())


class Standardised(Over):
    """The same over standardised windows."""

    def forward(self, waveform):
        return super().forward(PerClip()(waveform))


def find(network: nn.Module, window: int = WINDOW, rate: int = RATE):
    torch.manual_seed(1)
    return find_stem(trace(network.eval(), window, "logits"), window, rate)


def test_stem_of_a_network_without_padding_is_all_that_convolves(monkeypatch):
    front = LogMel(RATE, 640, 320, 16)
    body = nn.Sequential(conv(16, 8, 3, 1), conv(8, 8, 5, 5), conv(8, 12, 3, 1))
    graph = trace(Pooled(front, body, 12).eval(), WINDOW, "logits")
    runs = []

    def run(session, values):
        runs.append(values.shape[1])
        return trials_run(session, values)

    trials_run = trials.run
    monkeypatch.setattr(trials, "run", run)
    found = find_stem(graph, WINDOW, RATE)
    n_runs = len(runs)
    stem = found.stem
    assert (stem.stride, stem.step, stem.base) == (1600, 1, None)
    frames = ((24_000 - 640) // 320 + 1 - 2 - 5) // 5 + 1 - 2
    field = 640 + 320 * (2 + 4 + 5 * 2)
    assert (stem.frames, stem.receptive_field) == (frames, field)
    assert "ReduceM" in found.note
    assert "takes the whole window together" in found.note
    # What kernels tell saves runs, and decides nothing.
    monkeypatch.setattr(trials, "_guess", lambda last, nodes, axis: (7, 3))
    assert find_stem(graph, WINDOW, RATE) == found
    assert len(runs) > 2.5 * n_runs
    assert n_runs <= 120


def test_trials_go_on_from_what_the_last_one_computed(monkeypatch):
    layers = nn.Sequential(
        conv(1, 4, 400, 160), conv(4, 4, 3, 1), conv(4, 4, 1, 1), conv(4, 4, 3, 1)
    )
    graph = trace(Pooled(Over(layers), nn.Identity(), 4).eval(), WINDOW, "logits")
    anew, onward = [], []

    def run(session, values):
        node = session.get_inputs()[0]
        (anew if node.name == graph.graph.input[0].name else onward).append(values.shape)
        return trials_run(session, values)

    trials_run = trials.run
    monkeypatch.setattr(trials, "run", run)
    found = find_stem(graph, WINDOW, RATE)
    assert (found.stem.stride, found.stem.receptive_field) == (160, 400 + 4 * 160)
    # Four tensors: whole windows are heard from the waveform on for the first, and where the
    # stride is not that of the last one.
    assert sum(shape[1] >= WINDOW for shape in anew) < 2 * (2 + 1 + len(trials.PLACES))
    assert len(onward) > 3 * (2 + len(trials.PLACES))


def test_stem_ends_where_padding_begins():
    front = LogMel(RATE, 640, 320, 16)
    body = nn.Sequential(conv(16, 8, 3, 1), conv(8, 8, 3, 1, pad=1))
    found = find(Pooled(front, body, 8))
    assert (found.stem.stride, found.stem.receptive_field) == (320, 640 + 2 * 320)
    assert found.note.startswith("Conv ")
    assert "pads" in found.note


def test_padding_across_frequency_is_no_obstacle():
    layers = nn.Sequential(
        nn.Conv2d(1, 4, (3, 3), padding=(1, 0)), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.Flatten(1, 2)
    )

    class AsPicture(LogMel):
        def forward(self, waveform):
            return super().forward(waveform)[:, None]

    found = find(Pooled(AsPicture(RATE, 640, 320, 16), layers, 32))
    assert (found.stem.stride, found.stem.receptive_field) == (320, 640 + 2 * 320)


def test_strides_that_fit_no_hop_become_dilations():
    layers = nn.Sequential(conv(1, 6, 400, 160), nn.MaxPool1d(3), conv(6, 6, 3, 1), nn.MaxPool1d(3))
    found = find(Pooled(Over(layers), nn.Identity(), 6))
    assert (found.stem.stride, found.stem.step) == (160, 9)
    assert found.stem.base is not None


def test_a_layer_that_would_cost_more_dilated_is_left_to_the_head():
    layers = nn.Sequential(conv(1, 6, 400, 160), nn.MaxPool1d(7), conv(6, 6, 3, 1), nn.MaxPool1d(3))
    found = find(Pooled(Over(layers), nn.Identity(), 6))
    assert (found.stem.stride, found.stem.step) == (160, 7)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        (Standardised(conv(1, 16, 400, 160)), "takes the whole window together"),
        (LogMel(RATE, 640, 320, 16, pad=320), "pads: its frames know where a window ends"),
    ],
)
def test_networks_that_cannot_share_say_why(front, words):
    found = find(Pooled(front, conv(16, 8, 3, 1), 8))
    assert found.stem is None
    assert words in found.note
    assert "\n" not in found.note


def test_frames_too_far_apart_for_any_hop_are_no_stem():
    found = find(Pooled(Over(conv(1, 8, 4000, 3000)), nn.Identity(), 8))
    assert found.stem is None
    assert found.note == "no hop of 0.5 s fits its frames, which are 0.1875 s apart"


def test_a_stem_that_changes_logits_stops_the_export(monkeypatch):
    """As if the trials had been wrong: the proof looks at logits, and says so."""
    layers = nn.Sequential(conv(1, 6, 400, 160), nn.MaxPool1d(3))
    monkeypatch.setattr(stems, "_deepen", lambda trials, found, base, overlap: found[base])
    right = stems.Trials.try_cut

    def wrong(self, tensor):
        stem = right(self, tensor)
        return type(stem)(tensor, stem.stride // 2, stem.frames, receptive_field=400)

    monkeypatch.setattr(stems.Trials, "try_cut", wrong)
    with pytest.raises(ExportError, match="get logits that differ by"):
        find(Pooled(Over(layers), nn.Identity(), 6))
