"""The search for words, on decoders whose probabilities are written down, against exhaustive and literal search."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TinyPairs, make_model
from torch import Tensor
from torch.nn import functional

from vsezoo.captioning.decoder import CaptionDecoder, Memory
from vsezoo.captioning.loss import CaptionLoss
from vsezoo.captioning.search import search_words, write_captions
from vsezoo.errors import DataError, UsageError
from vsezoo.text import END, START, UNKNOWN

A, B, C = 4, 5, 6
Tables = list[dict[int, dict[int, float]]]


class BigramDecoder:
    """Knows the probabilities of a word after the one before it, one table for each image."""

    def __init__(self, tables: Tables, words: int = 7) -> None:
        self.log = torch.full((len(tables), words, words), 1e-12, dtype=torch.float64)
        for image, table in enumerate(tables):
            for before, probabilities in table.items():
                for word, probability in probabilities.items():
                    self.log[image, before, word] = probability
        self.log.log_()

    def encode(self, regions: Tensor, lengths: Tensor | None = None) -> tuple[Memory, Tensor]:
        images = torch.arange(len(self.log))
        return Memory(images, images), torch.zeros(len(self.log), self.log.shape[-1], dtype=torch.float64)

    def embed(self, words: Tensor) -> Tensor:
        return functional.one_hot(words, self.log.shape[-1])

    def step(self, words: Tensor, states: Tensor, memory: Memory) -> Tensor:
        return self.log[memory.regions, words.argmax(dim=1)]  # the state is what comes next

    def predict(self, states: Tensor) -> Tensor:
        return states


def search(tables: Tables, beam: int, max_len: int = 10, unknown: bool = False) -> list[tuple[list[int], float]]:
    """Return the words and their probability, not its logarithm."""
    decoder = cast(CaptionDecoder, BigramDecoder(tables))
    regions = torch.zeros(len(tables), 1, 1, dtype=torch.float64)
    found = search_words(decoder, regions, beam, max_len, unknown=unknown)
    return [(words, math.exp(value)) for words, value in found]


GARDEN_PATH = {START: {A: 0.6, B: 0.4}, A: {C: 0.55, A: 0.45}, B: {C: 1.0}, C: {END: 1.0}}
"""After the likelier first word there are two ways, after the other one only one, which is the best of the three."""


def test_a_beam_finds_what_greedy_search_passes_by() -> None:
    assert search([GARDEN_PATH], 1) == [([A, C], pytest.approx(0.33))]
    assert search([GARDEN_PATH], 2) == [([B, C], pytest.approx(0.4))]


def test_the_mean_over_words_decides() -> None:
    """`B A C` has a probability of 0.405, the empty caption of 0.5; but the mean of four steps is 0.80, of one 0.5."""
    table = {START: {B: 0.5, END: 0.5}, B: {A: 0.9, END: 0.1}, A: {C: 0.9, END: 0.1}, C: {END: 1.0}}
    assert search([table], 2) == [([B, A, C], pytest.approx(0.405))]
    assert search([{**table, START: {B: 0.25, END: 0.75}}], 2) == [([], pytest.approx(0.75))]


def test_a_caption_without_end_is_cut() -> None:
    table = {START: {A: 1.0}, A: {B: 1.0}, B: {A: 0.5, END: 0.5 - 1e-9}}
    assert search([table], 1, max_len=2) == [([A, B], pytest.approx(1.0))]
    assert search([table], 1, max_len=3) == [([A, B, A], pytest.approx(0.5))]


def test_neither_start_nor_padding_is_written() -> None:
    assert search([{START: {START: 0.5, 0: 0.3, A: 0.2}, A: {0: 0.9, END: 0.1}}], 1) == [([A], pytest.approx(0.02))]


def test_a_rare_word_is_written_if_asked_for_alone() -> None:
    table = {START: {UNKNOWN: 0.7, A: 0.3}, A: {END: 1.0}, UNKNOWN: {END: 1.0}}
    assert search([table], 1) == [([A], pytest.approx(0.3))]
    assert search([table], 1, unknown=True) == [([UNKNOWN], pytest.approx(0.7))]


def test_images_of_a_batch_do_not_meet() -> None:
    tables = [GARDEN_PATH, {START: {C: 1.0}, C: {C: 0.9, END: 0.1}}, {START: {B: 0.9, A: 0.1}, B: {END: 1.0}, A: {}}]
    for beam in (1, 2, 3):
        assert search(tables, beam) == [search([table], beam)[0] for table in tables], beam


words_of_three = st.lists(st.integers(1, 20), min_size=3, max_size=3)


def make_table(counts: list[list[int]]) -> dict[int, dict[int, float]]:
    """Return the probabilities of A, B and END after START, A and B."""
    return {
        before: dict(zip((A, B, END), np.array(row) / sum(row), strict=True))
        for before, row in zip((START, A, B), counts, strict=True)
    }


def list_captions(table: dict[int, dict[int, float]], max_len: int) -> list[tuple[list[int], list[float]]]:
    """Return every caption that ends or is cut, with the logarithms of the probabilities of its steps."""
    finished, open_ones = [], [([START], [0.0][:0])]
    for _ in range(max_len):
        grown = [
            ([*words, word], [*steps, math.log(probability)])
            for words, steps in open_ones
            for word, probability in table[words[-1]].items()
        ]
        finished += [caption for caption in grown if caption[0][-1] == END]
        open_ones = [caption for caption in grown if caption[0][-1] != END]
    return [([word for word in words if word not in (START, END)], steps) for words, steps in finished + open_ones]


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.lists(words_of_three, min_size=3, max_size=3), st.integers(1, 4))
def test_a_beam_that_keeps_everything_finds_the_best_of_all(counts: list[list[int]], max_len: int) -> None:
    table = make_table(counts)
    _, best = max(list_captions(table, max_len), key=lambda caption: np.mean(caption[1]))
    ((words, probability),) = search([table], 81, max_len)
    steps = [steps for caption, steps in list_captions(table, max_len) if caption == words]
    assert max(np.mean(one) for one in steps) == pytest.approx(np.mean(best))
    assert any(math.exp(sum(one)) == pytest.approx(probability) for one in steps)


@settings(deadline=None, max_examples=15)
@given(st.lists(words_of_three, min_size=3, max_size=3))
def test_a_beam_of_one_takes_the_likeliest_word_each_time(counts: list[list[int]]) -> None:
    table, words, total = make_table(counts), [START], 1.0
    while words[-1] != END and len(words) <= 5:
        following = max(table[words[-1]].values())
        likeliest = [word for word, probability in table[words[-1]].items() if probability == following]
        if len(likeliest) > 1:
            return  # a tie may fall either way
        words.append(likeliest[0])
        total *= following
    assert search([table], 1, max_len=5) == [([w for w in words if w not in (START, END)], pytest.approx(total))]


# Captions of images


@pytest.fixture
def parts() -> dict[str, Any]:
    """A model of regions, its loss, and images."""
    data = TinyPairs(shape=(4, 12))
    model = make_model("vsrn", data=data, image_encoder__num_blocks=1)
    torch.manual_seed(0)
    loss = CaptionLoss(embed_size=5, tokenizer=model.tokenizer, hidden_size=6, word_dim=4).eval()
    return {"model": model, "loss": loss, "images": data.features}


def test_captions_are_words_and_the_same_at_each_call(parts: dict[str, Any]) -> None:
    for parameter in parts["loss"].decoder.parameters():
        torch.nn.init.normal_(parameter, std=2)  # so that images differ
    for beam in (1, 4):
        captions = write_captions(**parts, beam=beam, max_len=7)
        assert captions == write_captions(**parts, beam=beam, max_len=7)
        assert len(captions) == 6
        assert len({caption.text for caption in captions}) > 1
        for caption in captions:
            words = caption.text.split()
            assert len(words) <= 7
            assert set(words) <= set(parts["loss"].vocabulary.words) - {"<start>", "<end>", "<pad>"}
            assert caption.log_probability < 0
        one_by_one = write_captions(**parts, beam=beam, max_len=7, batch_size=1)
        assert [caption.text for caption in one_by_one] == [caption.text for caption in captions]


@pytest.mark.slow
def test_the_log_probability_is_that_of_the_training(parts: dict[str, Any]) -> None:
    """What the loss says of a written caption, less what it adds for the <pad> after the end."""
    model, loss, images = parts.values()
    torch.nn.init.normal_(loss.decoder.out.weight, std=2)
    loss.decoder.out.bias.data[END] += 3
    ids = loss.vocabulary.id_of
    ended = 0
    for image in range(6):
        (caption,) = write_captions(model, loss, images[image : image + 1], beam=2, max_len=30)
        words = [ids(word) for word in caption.text.split()]
        if len(words) == 30:
            continue
        with torch.inference_mode():
            regions = model.image_encoder(torch.from_numpy(images[image : image + 1])).regions
            read = torch.nn.utils.rnn.pack_sequence([torch.tensor([START, *words])])
            logs = loss.decoder(regions, read).log_softmax(dim=1)
        total = logs[torch.arange(len(words) + 1), torch.tensor([*words, END])].sum().item()
        assert caption.log_probability == pytest.approx(total, abs=1e-4)
        ended += 1
    assert ended


def test_no_images_have_no_captions(parts: dict[str, Any]) -> None:
    assert write_captions(parts["model"], parts["loss"], parts["images"][:0]) == []


def test_images_that_cannot_be_described(parts: dict[str, Any]) -> None:
    parts["images"][4, 1, 0] = np.nan
    with pytest.raises(DataError, match=r"The image at index 4 contains NaN"):
        write_captions(**parts, batch_size=3)
    with pytest.raises(UsageError, match="beam is 0 and max_len 0; they must be at least 1 and 0"):
        write_captions(**parts, beam=0)
    with pytest.raises(UsageError, match="max_len -1"):
        write_captions(**parts, max_len=-1)
