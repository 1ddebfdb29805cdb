"""Tokenisation by words: the vocabulary, and the word tokenizer with the rules of the original code.

A rule defines how a caption is split into words, and the ids of special tokens:

    nltk        VSE++, SCAN, VSRN: lower-cased and split by NLTK's word tokenizer, without its sentence splitter (a
                line of a caption file is one sentence). Ids 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`; a
                caption becomes `<start>` words `<end>`.
    split       Kiros et al. 2014, order-embeddings: split at white space, case kept, for captions that are already
                tokenised. Ids 0 and 1 are `<eos>` and `UNK`; a caption becomes words `<eos>`.
    letters     gorjanradevski/vsepp_tensorflow: lower-cased, all but a to z, the apostrophe and the space deleted, cut
                at spaces. Ids as with nltk.
    characters  as nltk, but each character of a script without spaces between words is a word: of Chinese, Japanese,
                Thai, Lao, Burmese and Khmer.
    jieba       as nltk, but runs of Han characters are cut into words by jieba's dictionary (extra `chinese`).
    subwords    the subwords of a `tokenizer.json` of the library `tokenizers`, which the option `subwords` names, with
                its normalisation (such as the case) and without its special tokens. Ids as with nltk: a subword that
                occurs fewer than `threshold` times is unknown, so that 1 suits.

A word is in the vocabulary if it occurs at least `threshold` times in the train and dev captions (1, as in Kiros: every
word). Words follow the special ones, the most frequent first, equally frequent ones in alphabetical order. Any other
word counts as unknown. An empty caption becomes the special ids only: `<start>` `<end>`, or `<eos>`.
"""

from vsezoo.text.scripts import is_unspaced
from vsezoo.text.vocabulary import END, PAD, SPECIAL_WORDS, START, UNKNOWN, Vocabulary
from vsezoo.text.words import RULES, WordRule, WordTokenizer, read_subwords

__all__ = [
    "END",
    "PAD",
    "RULES",
    "SPECIAL_WORDS",
    "START",
    "UNKNOWN",
    "Vocabulary",
    "WordRule",
    "WordTokenizer",
    "is_unspaced",
    "read_subwords",
]
