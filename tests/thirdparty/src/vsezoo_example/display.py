"""The images and captions of the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vsezoo.interfaces import PairDataset

SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcfgd")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COPIES = {"train": 4, "dev": 1, "test": 1}
WIDTH = 16


class NumberPairs(PairDataset):
    """Each number so often, with noise; a digit is a region: what is lit at its place, then what is not.

    Even numbers have four captions, odd ones three.
    """

    def __init__(self, name: str, split: str, kind: str) -> None:
        self.name, self.split, self.kind = name, split, kind
        numbers = np.repeat(np.arange(100), COPIES[split])
        lit = np.array([[letter in segments for letter in "abcdefg"] for segments in SEGMENTS], dtype=np.float32)
        codes = np.zeros((len(numbers), 2, WIDTH), dtype=np.float32)
        codes[:, 0, :7], codes[:, 1, 8:15] = lit[numbers // 10], lit[numbers % 10]
        codes[:, 0, 7], codes[:, 1, 15] = 1, 1
        self.features = codes + np.random.default_rng(len(split)).normal(0, 0.1, codes.shape).astype(np.float32)
        self.image_shape = (2, WIDTH) if kind == "regions" else (2 * WIDTH,)
        self.image_ids = [f"{split}-{index}" for index in range(len(numbers))]
        captions = [_describe(number) for number in numbers]
        self.captions = [caption for listed in captions for caption in listed]
        self.image_of = np.repeat(np.arange(len(numbers)), [len(listed) for listed in captions])

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.features[np.asarray(indices, dtype=np.int64)].reshape(-1, *self.image_shape)


def _describe(number: int) -> list[str]:
    first, second = DIGITS[number // 10], DIGITS[number % 10]
    captions = [f"{number:02}", f"{first} {second}", f"first {first} then {second}", f"{second} after {first}"]
    return captions[: 4 - number % 2]
