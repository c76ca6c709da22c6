"""Parts of `train.pocket` and `train.imitate`: batches, imitation, the last layer."""
