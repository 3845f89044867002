"""The rows of filterbanks in the table of functional operations."""

import numpy as np
from hypothesis import strategies as st

import dsptorch.functional as f
from dsptorch.testing import strategies as dst
from tests.functional.operation import SIGNAL, Operation, numbers
from tests.oracles import upfirdn

BANKS: dict[str, Operation] = {
    "analysis": Operation(
        lambda x, bank: f.analysis(x, bank, 2),
        st.tuples(SIGNAL, numbers(3, 5)),
        lambda x, bank: np.concatenate([upfirdn(x, h, 1, 2) for h in bank], -1),
    ),
    "synthesis": Operation(
        lambda v, bank: f.synthesis(v, bank, 2),
        st.tuples(dst.signals((2, 4, 6)), numbers(3, 5)),
        lambda v, bank: sum(upfirdn(s, h, 2, 1) for s, h in zip(v.split(2, 2), bank, strict=True)),
    ),
}
