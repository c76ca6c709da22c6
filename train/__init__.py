"""Training: one network a file, ``python -m train.NAME --data DIR``.

A network's file holds its architecture, its recipe and its command; everything else here is
shared: data sets (`train.datasets`), cutting and mixing batches (`train.audio.augment`,
`train.audio.mixing`), the loop (`train.loop.fit`), judging (`train.evaluate`) and the run folder
(`train.run_folder.run`). ``python -m train`` lists the commands.
"""

from train.base.startup import end_quietly, let_threads_sleep

end_quietly()
let_threads_sleep()
