"""Checks of model files before ONNX Runtime opens them."""
