"""Tell the initials of spoken Mandarin syllables, behind different front ends.

    python recipes/spoken_syllables.py study --source gcin-voice.deb     the full study
    python recipes/spoken_syllables.py study --source gcin-voice.deb --arms '[mel, gabor]' --seeds '[0]' --epochs 5
    python recipes/spoken_syllables.py cost --source gcin-voice.deb      the time of every front end of a study
    python recipes/spoken_syllables.py utterance --source gcin-voice.deb    the bands of one syllable, for a figure
    python recipes/spoken_syllables.py report                            table and figure anew

The sounds are in Debian's package gcin-voice: `apt-get download gcin-voice` brings the .deb, 7.7 MB; where the package
is installed, --source can be left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import openmp  # noqa: F401  # before torch, which reads what it sets
from gpt.small_study import run_command
from syllables.study import cost, report, study
from syllables.utterance import utterance

DESCRIPTION = (
    "Tell the initials of spoken syllables. Without a command: the full study of the installed package."
)

COMMANDS: dict[str, Callable[..., str]] = {
    "study": study,
    "cost": cost,
    "utterance": utterance,
    "report": report,
}


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    run_command("spoken_syllables.py", DESCRIPTION, COMMANDS, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
