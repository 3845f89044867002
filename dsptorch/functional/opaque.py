"""Functions that Dynamo does not look into, though what is behind it (AOTAutograd, Inductor) does.

Dynamo, up to PyTorch 2.13 at least, does not trace `@` between objects, and would spend seconds on the
bookkeeping of the algebra. Import this module only while Dynamo traces: importing Dynamo itself takes seconds.
"""

from torch._dynamo import nonstrict_trace

from dsptorch.functional.multirate import multirate_step as _multirate_step

multirate_step = nonstrict_trace(_multirate_step)
