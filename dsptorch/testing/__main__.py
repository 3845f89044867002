"""`python -m dsptorch.testing module:factory`: does this model see the future?"""

import sys

from dsptorch.testing.command import main

if __name__ == "__main__":
    sys.exit(main())
