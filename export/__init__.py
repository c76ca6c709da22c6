"""Export: turning a run folder into one ONNX file that streamclf, or any runtime, can open.

``python -m export RUN -o NAME.onnx``.
"""

from train.base.startup import hide_interrupt_traceback, wait_passively

hide_interrupt_traceback()
wait_passively()
