"""Training: a module for each network, ``python -m train.NAME --data DIR``.

A network's module holds its architecture, its recipe and its command. Everything else is shared:
data sets (`train.datasets`), cutting and mixing batches (`train.audio.augment`,
`train.audio.mixing`), the loop (`train.loop.fit`), evaluation (`train.evaluate`) and the run folder
(`train.run_folder.run`). ``python -m train`` lists the commands.
"""

from train.base.startup import hide_interrupt_traceback, wait_passively

hide_interrupt_traceback()
wait_passively()
