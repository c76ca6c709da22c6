"""Export: a run folder becomes one ONNX file that streamclf, or any runtime, can open.

``python -m export RUN -o NAME.onnx``.
"""

from train.base.startup import end_quietly, let_threads_sleep

end_quietly()
let_threads_sleep()
