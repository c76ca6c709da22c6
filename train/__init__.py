"""Training: one network a file, ``python -m train.NAME --data DIR``.

A network's file holds its architecture, its recipe and its command; everything else here is
shared: data sets (`train.datasets`), cutting and mixing batches (`train.augment`,
`train.mixing`), the loop (`train.fit`), judging (`train.evaluate`) and the run folder
(`train.runs`). ``python -m train`` lists the commands.
"""

from train.starting import end_quietly, let_threads_sleep

end_quietly()
let_threads_sleep()
