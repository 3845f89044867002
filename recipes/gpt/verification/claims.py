"""What the study claims, and what we have to say to each: the rows of docs/audit.md."""

from __future__ import annotations

from dataclasses import dataclass


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
)

PAIRS = "base_gpt_enwik8 and dsp_example_multirate_enwik8_adaptive: learned positions, lr 1e-3, without and with the "
PAIRS += "three blocks and the study's controller"
TREATMENT = "dsp_example_multirate_enwik8_adaptive+small"
ONE_LESS = "the treatment without it, against the whole treatment"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "19.1 % improvement on enwik8 (validation loss 1.369 against 1.693)",
        PAIRS,
        (("change", "enwik8_500"), ("earlier", "enwiki_head", "learned", "learned+seed_blocks")),
        "holds only against a weak baseline: the gain is there, in the larger model more than the study's; but in both "
        "sizes the plain model with RoPE, next row, is better than this treatment",
    ),
    Claim(
        "(the same against RoPE at lr 3e-3, which the study did not try)",
        "rope and rope+seed_blocks+adaptive_literal",
        (("change", "rope_500"), ("earlier", "enwiki_head", "rope", "rope+seed_blocks")),
        "reproduced in sign, and much smaller",
    ),
    Claim(
        "12.2 % improvement on text8 (1.293 against 1.473)",
        "the same configurations for text8, on the cleaned text",
        (("change", "text8_500"),),
        "reproduced, against a baseline of the study's kind; a stronger one was not run on this text",
    ),
    Claim(
        "Statistically significant gains across 5 random seeds (>14σ; 14.85σ, 38.8σ)",
        "five paired seeds",
        (("certainty", "enwik8_500"), ("certainty", "text8_500")),
        "reproduced, but for the name: the study's σ agree with Cohen's d, a size in units of the spread of single "
        "runs, which does not measure certainty",
    ),
    Claim(
        "All improvements statistically significant (p < 0.001)",
        "five paired seeds, also against RoPE",
        (("certainty", "enwik8_500"), ("certainty", "text8_500"), ("certainty", "rope_500")),
        "reproduced by tests that assume normal losses; without that, five seeds cannot say more than p = 0.06",
    ),
    Claim(
        "Achieves equivalent loss targets ~65-68 % faster (measured in steps, tokens, and FLOPs)",
        "until the training loss that every seed of the baseline had reached at its end, the mean of 100 steps",
        (("saved", "enwik8_500"), ("saved", "text8_500")),
        "reproduced in sign in steps, tokens and FLOPs, less than claimed; not in time, which the study leaves out: a "
        "step of the treatment takes longer, and these noisy runs show no sure saving",
    ),
    Claim(
        "Longer training (20k steps): 7.5 % on enwik8, 7.6 % on text8",
        "1,000 steps, twice as many as above, three paired seeds",
        (("change", "enwik8_1000"), ("saved", "enwik8_1000")),
        "cannot be tested here at 20,000 steps; from 500 to 1,000 steps the gain still grows",
    ),
    Claim(
        "All components contribute positively; full system achieves best results",
        "each part taken out, and each block alone, three seeds, 250 steps; next rows",
        (("delta", "ablation_250", "without_multirate"), ("delta", "ablation_250", "without_bottleneck")),
        "refuted at this size: LFO routing alone is as good as all parts together; without multirate the loss is lower "
        "with every seed, and no interval shows a gain of the bottleneck",
    ),
    Claim(
        "Multirate decomposition contributes most to performance (+0.132)",
        ONE_LESS,
        (("delta", "ablation_250", "without_multirate"), ("delta", "ablation_250", "multirate_alone")),
        "refuted at this size: it adds nothing to LFO routing, whose filters mix neighbours too, and little alone",
    ),
    Claim(
        "w/o LFO Routing +0.041",
        ONE_LESS,
        (("delta", "ablation_250", "without_lfo_routing"), ("delta", "ablation_250", "lfo_routing_alone")),
        "reproduced in sign: of the three blocks it contributes most, and more than the study says",
    ),
    Claim(
        "w/o Bottleneck +0.019",
        ONE_LESS,
        (("delta", "ablation_250", "without_bottleneck"), ("delta", "ablation_250", "bottleneck_alone")),
        "refuted at this size: with every seed the loss is lower without it, though the interval holds 0",
    ),
    Claim(
        "Adaptive learning provides +0.058 improvement over fixed hyperparameters",
        "the blocks with hyperparameters held fixed; and earlier, in a larger model, fixed ones against the study's "
        "controller, test loss",
        (
            ("delta", "ablation_250", "without_adaptive"),
            (
                "earlier",
                "hyperparams",
                "rope+hyperparams_good",
                "rope+hyperparams_good+adaptive_literal",
                "test_loss",
            ),
        ),
        "refuted: fixed hyperparameters give the same loss, here to the fourth digit",
    ),
    Claim(
        "Baseline (no DSP) +0.323",
        "the baseline, and one with a wider MLP, of as many parameters as the treatment",
        (("delta", "ablation_250", "baseline"), ("delta", "ablation_250", "baseline_widened")),
        "reproduced in sign; the gap is not one of parameters, since the wider baseline does not close it",
    ),
    Claim(
        "Every 100 steps, Adam at a meta-learning rate of 1e-4 drives the hyperparameters",
        "the controller with these numbers, from hyperparameters that were badly set, test loss",
        (
            (
                "earlier",
                "hyperparams",
                "rope+hyperparams_bad",
                "rope+hyperparams_bad+adaptive_literal",
                "test_loss",
            ),
        ),
        "refuted: in 4,000 steps, 40 updates of about 1e-4 move a logit by 0.004, and a mix ratio by 0.0004",
    ),
    Claim(
        "(simpler local mixers, which the study did not try)",
        "token shift, which has no parameters, and a bank of delays; Canon layers, causal averages, dilated filters "
        "and tables of n-grams were run beside token shift, at equal parameters and time: [the stack](stack.md)",
        (
            ("earlier", "enwiki_head", "rope", "rope+token_shift"),
            ("earlier", "enwiki_head", "rope", "rope+fir"),
        ),
        "refuted, as far as the gain is said to need the decomposition: token shift gains more than the three blocks",
    ),
    Claim(
        "Option 2, Convergence Rate: the meta-loss is -r, r = (L(t) - L(t - K)) / K",
        "the treatment with this meta-loss (rate_literal), at a meta-learning rate of 0.1 every 20 steps, so that "
        "it has an effect, against the study's controller",
        (("delta", "parts_250", f"{TREATMENT}+rate_literal"),),
        "refuted: its descent raises the loss, since r is below 0 while a model learns; here with every seed, though "
        "the interval holds 0",
    ),
    Claim(
        "Channel bottleneck: prevent overfitting by compressing channel dimensionality",
        "no run is long enough to overfit: none passes over its text more than twice",
        (),
        "cannot be tested here: a model overfits after many passes over its text",
    ),
    Claim(
        "Low frequencies capture long-range dependencies; high frequencies preserve fine-grained details",
        "nothing: the study names no measurement",
        (),
        "cannot be tested here: the study does not say what would show it",
    ),
    Claim(
        "LFO: time-varying pathways create temporal structure beyond fixed attention patterns",
        "the treatment with oscillators that stand still (lfo_still), against the whole treatment",
        (("delta", "parts_250", f"{TREATMENT}+lfo_still"),),
        "refuted at this size: with pathways that do not change the loss is a little lower with every seed, though the "
        "interval holds 0",
    ),
)
