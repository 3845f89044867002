"""Let threads of OpenMP sleep while they wait: import this before torch.

By default a thread of OpenMP spins while it waits for the others. Where another program wants the same cores, the
threads then take the cores from each other, and a training step of two threads took ten times as long. The runtime
reads `OMP_WAIT_POLICY` when torch loads it, so it is set here, before. Processes that this one starts inherit it.
Where the user has chosen a policy or a number of threads, nothing is changed.
"""

import os

CHOSEN_BY_USER = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

if not any(name in os.environ for name in CHOSEN_BY_USER):
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
