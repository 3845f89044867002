"""What the study claims, and what we have to say to each: the rows of docs/audit.md."""

from __future__ import annotations

from dataclasses import dataclass

NOT_RUN = "not yet run"


@dataclass(frozen=True)
class Claim:
    """A claim and its verdict.

    Args:
        words: the study's own.
        ran: what we ran, in words.
        figures: what to show of the results, as functions of `gpt.verification.audit.FIGURES` and their arguments.
        verdict: in words; it begins with one of VERDICTS.
    """

    words: str
    ran: str
    figures: tuple[tuple[str, ...], ...]
    verdict: str


VERDICTS = (
    "reproduced",
    "reproduced in sign",
    "refuted",
    "holds only against a weak baseline",
    "cannot be tested here",
    NOT_RUN,
)

WEAK = "learned positions, lr 1e-3, with and without the three blocks and the study's own controller"
NOTHING = "nothing"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "19.1 % improvement on enwik8 (validation loss 1.369 against 1.693)",
        WEAK,
        (("change", "enwik8_500"),),
        "reproduced in sign: a large gain, smaller after so few steps",
    ),
    Claim(
        "Statistically significant gains across 5 random seeds (>14σ)",
        "five paired seeds; the study's 14.85σ and 38.8σ agree with Cohen's d, an effect size",
        (("certainty", "enwik8_500"),),
        "reproduced, under another name: the size d is as large; five "
        "that does not assume normal losses (the sign test's least p is 0.06)",
    ),
    Claim(
        "65-68 % faster convergence to equivalent loss targets, measured in steps, tokens and FLOPs",
        "training loss (mean of 100 steps) that every seed of the baseline had reached at its end",
        (("saved", "enwik8_500"),),
        "reproduced in sign for steps, tokens and FLOPs, and not half as large; refuted for time, which the study leaves "
        "out: a step takes longer",
    ),
    Claim("12.2 % improvement on text8 (1.293 against 1.473)", NOTHING, (), NOT_RUN),
)
