"""Split text into words by the rules of the Penn Treebank with NLTK's additions, as the VSE++ family does.

The algorithm is a sequence of substitutions that put spaces around separate words, followed by a split at white
space. Robert MacIntyre wrote it as a sed script for the Penn Treebank; `NLTKWordTokenizer` of
NLTK (Apache-2.0) added quotation marks and dashes of Unicode, runs of dots and of backticks, and more clitics.

NLTK has changed its rules several times: 3.9.3 cut at Unicode dashes, 3.10.1 at the apostrophe of "n 'slide". A
vocabulary must not depend on the version that happens to be installed, so the rules are those of NLTK 3.10.1 to 3.10.4
for one sentence, `nltk.word_tokenize(text, preserve_line=True)`. NLTK 3.10.4 has them compiled by the package `regex`,
to which combining marks are letters, superscript digits and fractions are not, and the separators U+001C to U+001F are
not white space; here they are compiled by `re`, as in all versions before.
"""

from __future__ import annotations

import re

RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Opening quotation marks. A straight one opens at the start and behind a space or a bracket.
        (r"[«“‘„]|`+", r" \g<0> "),
        (r'^"', "``"),
        (r"``", " `` "),
        (r"""([ (\[{<])(?:"|'')""", r"\1 `` "),
        (r"(?i)(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
        # The period that ends the sentence, and what closes behind it. Any other may belong to an abbreviation.
        (r"""([^.])(\.)([\])}>"' »”’]*+)\s*$""", r"\1 \2 \3 "),
        # A comma or a colon within a number does not end a word. The match includes the next character, so of two
        # commas in a row the second one stays with the text that follows.
        (r"([:,])(\D)", r" \1 \2"),
        (r"[:,]$", r" \g<0> "),
        (r"\.{2,}|[;@#$%&?!\u2012-\u2015]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"--|[*\][(){}<>]", r" \g<0> "),
        # The rules below look for the space behind a word.
        (r"\A|\Z", " "),
        (r"[»”’]", r" \g<0> "),
        (r"""''|\"""", " '' "),
        (r"\s+", " "),
        (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
        (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    )
)
"""Substitutions in order: each applies to the result of the previous ones."""

CONTRACTIONS = re.compile(
    r"(?i)\b(can(?=not\b)|d(?='ye\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|more(?='n\b)|wan(?=na(?:\s|\Z)))"
    r"('?\w+)"
)
"""Two words that are written as one; they become two."""

# Only behind a contraction: elsewhere, the rules above have taken the apostrophe for an opening quotation mark.
ARCHAIC = tuple(re.compile(pattern) for pattern in (r"(?i) ('t)(is)\b", r"(?i) ('t)(was)\b"))

MARKS = re.compile(r"[^\w\s-]|--")
"""Matches anything that one of the `RULES` may change."""


def split_words(text: str) -> list[str]:
    """Split a sentence into words, case kept."""
    # Nine of ten captions have no punctuation except a final period, and need none of the rules.
    if MARKS.search(text, 0, len(text) - 1):
        return _split_marked(text)
    if text.endswith("."):
        return [*CONTRACTIONS.sub(r" \1 \2 ", text[:-1]).split(), "."]
    return _split_marked(text) if MARKS.search(text) else CONTRACTIONS.sub(r" \1 \2 ", text).split()


def _split_marked(text: str) -> list[str]:
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    for pattern in (CONTRACTIONS, *ARCHAIC):
        text = pattern.sub(r" \1 \2 ", text)
    return text.split()
