"""A session run on buffers of its own: what a GPU is given, and gives, stays where it was.

Buffers lie on the device, allocated once a shape (IO binding): a run copies its input in, its
output out, and nothing else. With fixed shapes and addresses CUDA can record the calls of a run as
one graph and repeat that by a single one.

The host's side is not pinned: at 64 kB a second of audio, that copy is nothing to wait for.

Source: ONNX Runtime's documentation, "I/O Binding" and "Using CUDA Graphs in the CUDA EP".
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

GRAPH_ID = "gpu_graph_id"


@dataclass(frozen=True)
class _Binding:
    """Buffers of one shape, bound to a session."""

    inputs: dict[str, Any]
    output: Any
    bound: Any
    options: Any


class BoundSession:
    """Runs a session on buffers that stay; by one thread at a time.

    Args:
        session: Open, and nobody else's.
        output_name: Of the output that is read.
        device: Where the buffers lie, as ONNX Runtime calls it: ``cuda``, ``cpu``.
        recorded: Whether the session was opened to record CUDA graphs.
    """

    def __init__(self, session: Any, output_name: str, device: str, *, recorded: bool) -> None:
        self._session, self._output_name, self._device = session, output_name, device
        self._recorded = recorded
        types = {output.name: output.type for output in session.get_outputs()}
        self._output_type = np.float16 if "float16" in types[output_name] else np.float32
        self._bindings: dict[tuple[tuple[int, ...], ...], _Binding] = {}
        self._n_bound = 0
        self._lock = threading.Lock()

    def run(
        self, feeds: Mapping[str, npt.NDArray[Any]], output_shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Run it.

        Args:
            feeds: An array for each input.
            output_shape: Of the output.

        Returns:
            The output, in memory of its own.
        """
        key = (output_shape, *(values.shape for values in feeds.values()))
        with self._lock:
            if key not in self._bindings:
                self._bindings[key] = self._bind(feeds, output_shape)
            binding = self._bindings[key]
            for name, values in feeds.items():
                binding.inputs[name].update_inplace(values)
            self._session.run_with_iobinding(binding.bound, binding.options)
            return np.array(binding.output.numpy())

    def forget(self) -> None:
        """Let go of all buffers."""
        with self._lock:
            self._bindings.clear()

    def _bind(
        self, feeds: Mapping[str, npt.NDArray[Any]], output_shape: tuple[int, ...]
    ) -> _Binding:
        import onnxruntime

        def allocate(shape: tuple[int, ...], kind: Any) -> Any:
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, kind, self._device, 0)

        inputs = {name: allocate(values.shape, values.dtype) for name, values in feeds.items()}
        output = allocate(output_shape, self._output_type)
        bound = self._session.io_binding()
        for name, value in inputs.items():
            bound.bind_ortvalue_input(name, value)
        bound.bind_ortvalue_output(self._output_name, output)
        options = onnxruntime.RunOptions()
        if self._recorded:
            # A recording belongs to its buffers: no number is given twice.
            self._n_bound += 1
            options.add_run_config_entry(GRAPH_ID, str(self._n_bound))
        return _Binding(inputs, output, bound, options)
