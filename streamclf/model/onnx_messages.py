"""The messages that ONNX files consist of, without the rest of the onnx library.

``import onnx`` also loads its checker, parsers and number types, which takes as long as scoring a
short clip (some 70 ms of processor time). The messages lie in one file, which protobuf generated
and which imports nothing of onnx, so this module loads that file alone. Protobuf makes each class
once in a process: these classes are those of onnx, whichever of the two is loaded first.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_GENERATED = "onnx_ml_pb2.py"
"""File in onnx's folder that holds the messages."""
_OUTSIDE = b"location"
"""Key that every tensor whose values lie in another file has in its message."""


@cache
def load_messages() -> Any:
    """Return a module with the messages of ONNX: ``ModelProto``, ``NodeProto`` and the others."""
    spec = find_spec("onnx") if "onnx" not in sys.modules else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        generated = spec_from_file_location("_onnx_messages", Path(folder, _GENERATED))
        if generated and generated.loader and Path(folder, _GENERATED).is_file():
            module = module_from_spec(generated)
            generated.loader.exec_module(module)
            return module
    import onnx  # imported late: it is loaded already, or its files lie elsewhere than expected

    return onnx


def read_model(source: Path | bytes, *, values_outside: bool = False) -> Any:
    """Read a model.

    Args:
        source: Path of the file, or its bytes.
        values_outside: Whether to read values of tensors that lie in files beside the model.

    Returns:
        A ``ModelProto``.

    Raises:
        OSError: A file cannot be read.
        google.protobuf.message.DecodeError: The bytes are no ONNX model.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    if values_outside and not isinstance(source, bytes) and _OUTSIDE in content:
        import onnx  # imported late: few models keep values in other files

        return onnx.load_model(source, format="protobuf")
    model = load_messages().ModelProto()
    model.ParseFromString(content)
    return model


def computes_in_integers(graph: Any) -> bool:
    """Whether some nodes of a ``GraphProto`` compute in 8 bits, or are marked to do so."""
    return any("Linear" in node.op_type or "Integer" in node.op_type for node in graph.node)
