"""Code speech losslessly: a causal model of 8-bit mu-law at 8 kHz, in bits a sample.

    apt-get download asterisk-core-sounds-{en,it,ru,fr}-wav asterisk-prompt-it-menardi-wav
    python recipes/voice_bits.py study --source .              the full study
    python recipes/voice_bits.py study --source . --arms '[shift, at_rate]' --seeds '[0]' --steps 100
    python recipes/voice_bits.py cost --source .               the time of a step of every arm of a study
    python recipes/voice_bits.py hum --source .                the unseen voices without what is below speech
    python recipes/voice_bits.py generate --source .           a sound file, made sample by sample
    python recipes/voice_bits.py report                        table and figure anew

The sounds are in five of Debian's packages, 93 MB; where they are installed, --source can be left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import openmp  # noqa: F401  # before torch, which reads what it sets
from gpt.small_study import run_command
from voice.generate import generate
from voice.study import cost, hum, report, study

DESCRIPTION = "Bits a sample of spoken prompts. Without a command: the full study of the installed packages."

COMMANDS: dict[str, Callable[..., str]] = {
    "study": study,
    "cost": cost,
    "hum": hum,
    "generate": generate,
    "report": report,
}


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    run_command("voice_bits.py", DESCRIPTION, COMMANDS, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
