"""Whether a tokenizer suits the captions: a warning when it knows no word of most of them."""

from __future__ import annotations

from collections.abc import Sequence

from vsezoo.inputs import Tokenizer
from vsezoo.text import is_unspaced

SAMPLED = 1000  # equidistant captions that are looked at
MOST = 0.5  # the share of captions without a known word from which there is a warning


def check_known_words(tokenizer: Tokenizer, captions: Sequence[str], which: str = "training captions") -> str:
    """Return a warning if most captions contain no word that the tokenizer knows; otherwise an empty string.

    Args:
        tokenizer: with its vocabulary.
        captions: the captions.
        which: what they are, for the warning.
    """
    step = max(1, len(captions) // SAMPLED)
    sample = captions[::step]
    unknown = sum(not tokenizer.knows(caption) for caption in sample)
    if unknown <= MOST * len(sample):
        return ""
    remedy = "Use more captions, or a lower text_encoder.vocab_threshold."
    if is_unspaced(sample):
        remedy = (
            "They are in a script without spaces between words: with --set text_encoder.words=characters, each "
            "character is a word."
        )
    return (
        f"{unknown / len(sample):.0%} of the {which} contain no word that the model knows: all such captions "
        f"of one length are the same to it. {remedy}"
    )
