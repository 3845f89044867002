"""`python -m dsptorch.testing module:factory`: check whether a model sees the future."""

import sys

from dsptorch.testing.command import main

if __name__ == "__main__":
    sys.exit(main())
