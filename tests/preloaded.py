"""What the programs import that tests fork: see forked.py."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import gpt_enwik8  # noqa: F401
    import torch.distributed.fsdp
    import torch.nn.parallel  # noqa: F401

    import tests.integrations.hf
    import tests.integrations.pl  # noqa: F401
