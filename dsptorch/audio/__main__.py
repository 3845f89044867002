"""`python -m dsptorch.audio FILE.wav`: stream a sound file through a front end."""

import sys

from dsptorch.audio.command import main

if __name__ == "__main__":
    sys.exit(main())
