# ruff: noqa: E402
"""The trace of a network: what is left out of it, and what is not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from graphs import trace
from torch import nn

from export.errors import ExportError
from export.graph.compare_outputs import compare
from export.graph.export_graph import export_program, simplify

pytestmark = pytest.mark.train

WINDOW = 64


class Layered(nn.Module):
    """Two convolutions with a BatchNorm each, one of them after a ReLU that writes in place."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.in_place = in_place
        self.layers = nn.Sequential(
            nn.Conv1d(1, 4, 8, bias=False), nn.BatchNorm1d(4), nn.ReLU(inplace=True),
            nn.Conv1d(4, 4, 8), nn.ReLU(), nn.BatchNorm1d(4),
        )  # fmt: skip
        self.output = nn.Linear(4, 2)
        generator = torch.Generator().manual_seed(1)
        for norm in (self.layers[1], self.layers[5]):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.data.uniform_(0.5, 2, generator=generator)

    def forward(self, waveform):
        maps = self.layers(waveform[:, None])
        if self.in_place:
            maps.clamp_(min=0.1)[:, 1:].mul_(2)
        return self.output(maps.mean(dim=2).square())


def test_batch_norms_are_folded_and_the_network_stays_as_it_was():
    network = Layered().eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    waveform = torch.rand(2, WINDOW) - 0.5
    with torch.inference_mode():
        expected = network(waveform)
        simple = simplify(network)
        torch.testing.assert_close(simple(waveform), expected)
    kinds = [type(layer) for layer in simple.layers]
    assert kinds == [nn.Conv1d, nn.Identity, nn.ReLU, nn.Conv1d, nn.ReLU, nn.BatchNorm1d]
    assert not simple.layers[2].inplace
    # The network's own layers, and memory for one set of large weights.
    assert network.layers[2].inplace
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert simple.output.weight is network.output.weight


@pytest.mark.parametrize("in_place", [False, True])
def test_a_network_is_traced_again_only_to_replace_operators(monkeypatch, in_place):
    replace = torch.export.ExportedProgram.run_decompositions
    seen = []

    def count(program, table):
        seen.append(program)
        return replace(program, table)

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", count)
    network = Layered(in_place).eval()
    graph = trace(network, WINDOW, "logits")
    assert len(seen) == in_place
    assert compare(network, graph, WINDOW, seed=1) < 1e-4


def test_an_operator_that_onnx_lacks_is_replaced():
    class Rare(nn.Module):
        def forward(self, waveform):
            return torch.logit(waveform.mean(dim=1, keepdim=True).sigmoid(), eps=1e-6)

    model = export_program(Rare(), WINDOW, "logits").model_proto
    assert compare(Rare(), model, WINDOW, seed=1) < 1e-4


class Loud(nn.Module):
    """Large logits for loud windows; ``extra`` is added to those of silence."""

    def __init__(self, extra: float = 0.0) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, waveform):
        level = waveform.abs().mean(dim=1, keepdim=True)
        return level * 1e6 + self.extra * (level == 0)


def test_what_silence_is_told_is_compared_beside_loud_windows():
    graph = trace(Loud(), WINDOW, "logits")
    assert compare(Loud(), graph, WINDOW, seed=1) < 1e-4
    with pytest.raises(ExportError, match=r"differ by 0\.001"):
        compare(Loud(extra=1e-3), graph, WINDOW, seed=1)
