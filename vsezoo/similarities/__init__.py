"""How well an image and a caption fit, of vectors (`cosine`, `order`), and what similarities of sets share."""

from vsezoo.similarities.vectors import BLOCK_NUMBERS as BLOCK_NUMBERS
from vsezoo.similarities.vectors import CosineSimilarity as CosineSimilarity
from vsezoo.similarities.vectors import OrderSimilarity as OrderSimilarity
