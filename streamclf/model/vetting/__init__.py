"""Model files looked through before ONNX Runtime opens them."""
