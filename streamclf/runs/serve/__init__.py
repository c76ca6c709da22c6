"""Several sources heard by one process, day and night: `streamclf serve`."""
