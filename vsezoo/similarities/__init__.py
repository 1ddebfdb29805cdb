"""Similarities of vectors (`cosine`, `order`), and the shared code of similarities of sets."""

from vsezoo.similarities.vectors import BLOCK_NUMBERS as BLOCK_NUMBERS
from vsezoo.similarities.vectors import CosineSimilarity as CosineSimilarity
from vsezoo.similarities.vectors import OrderSimilarity as OrderSimilarity
