"""Lets numpy's algebra use one thread in tests, and in the processes that they start.

Several processes test at once, and OpenBLAS lets a thread that has nothing to do spin for a while.
It reads this when numpy is imported: `conftest.py` imports this file before it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
