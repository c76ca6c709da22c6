"""The training loop; `train.loop.fit` is where it begins."""
