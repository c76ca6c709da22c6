"""Export: a run folder becomes one ONNX file that streamclf, or any runtime, can open.

``python -m export RUN -o NAME.onnx``.
"""
