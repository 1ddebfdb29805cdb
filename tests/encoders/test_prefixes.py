"""The distinct beginnings of sequences, and captions whose beginnings are read once."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from vsezoo.batch import Tokens
from vsezoo.encoders.prefixes import find_prefixes
from vsezoo.encoders.recurrent import GRUTextEncoder


def test_beginnings_of_three_sequences_by_hand() -> None:
    """Of `5 7 8`, `5` and `5 7 9`: 5; 5 7; 5 7 8 and 5 7 9."""
    prefixes = find_prefixes(torch.tensor([[5, 7, 8, 0], [5, 3, 3, 3], [5, 7, 9, 0]]), torch.tensor([3, 1, 3]))
    assert prefixes.sizes == [1, 1, 2]
    assert [chosen.tolist() for chosen in prefixes.continued] == [[0], [0], [0]]
    assert [parents if parents is None else parents.tolist() for parents in prefixes.parents] == [None, None, [0, 0]]
    assert prefixes.items.tolist() == [5, 7, 8, 9]
    assert prefixes.of_sequences[0, :3].tolist() == [0, 1, 2]
    assert prefixes.of_sequences[1, :1].tolist() == [0]
    assert prefixes.of_sequences[2, :3].tolist() == [0, 1, 3]


@pytest.mark.parametrize("items", [1, 2, 30])
def test_beginnings_against_a_slow_reference(items: int) -> None:
    generator = torch.Generator().manual_seed(items)
    places = torch.randint(0, items, (40, 6), generator=generator)
    lengths = torch.randint(1, 7, (40,), generator=generator)
    prefixes = find_prefixes(places, lengths)
    words: list[tuple[int, ...]] = []
    before: list[tuple[int, ...]] = [()]
    for size, continued, parents in zip(prefixes.sizes, prefixes.continued, prefixes.parents, strict=True):
        assert len(set(continued.tolist())) == len(continued)
        chosen = continued if parents is None else continued[parents]
        items_of_level = prefixes.items[len(words) :][:size].tolist()
        before = [(*before[int(one)], item) for one, item in zip(chosen, items_of_level, strict=True)]
        words += before
    expected = {tuple(row[: end + 1]) for row, n in zip(places.tolist(), lengths, strict=True) for end in range(int(n))}
    assert sorted(words) == sorted(expected)
    for row, length, found in zip(places.tolist(), lengths.tolist(), prefixes.of_sequences.tolist(), strict=True):
        assert [words[one] for one in found[:length]] == [tuple(row[: end + 1]) for end in range(length)]


@pytest.mark.parametrize(("options", "batches"), [({}, 1), ({"pool": "mean"}, 2), ({"bidirectional": True}, 2)])
def test_a_batch_mixes_lengths_where_beginnings_are_shared(options: dict[str, Any], batches: int) -> None:
    model = tiny.make_model(**{f"text_encoder__{name}": value for name, value in options.items()}).eval()
    captions = model.tokenizer.encode([*["red blue"] * 20, *["red blue red blue red blue"] * 20])
    assert len(list(model.embed_by_length(captions))) == batches
    assert len(list(model.embed_by_length(captions, 8))) >= 5


def test_embeddings_are_those_of_training() -> None:
    model = tiny.make_model().eval()
    captions = model.tokenizer.encode([*tiny.CAPTIONS, *(f"{text} again" for text in tiny.CAPTIONS)])
    batch = Tokens.pad(captions)
    expected = model.encoders["text_encoder"](batch).detach()
    torch.testing.assert_close(model.embed_tokens(captions).embeddings, expected, rtol=0, atol=1e-6)


class NoisyTextEncoder(GRUTextEncoder):
    """Embeds the same word in different ways in training."""

    def embed_words(self, ids: Tensor) -> Tensor:
        """Return embeddings, some of their numbers zero in training."""
        return nn.functional.dropout(super().embed_words(ids), 0.5, self.training)


def test_words_with_dropout_differ_in_training() -> None:
    tokenizer = tiny.make_model().tokenizer
    encoder = NoisyTextEncoder(embed_size=8, tokenizer=tokenizer, word_dim=16)
    tokens = Tokens.pad(tokenizer.encode(["red red", "red red"]))
    assert not torch.equal(*encoder.train()(tokens))
    assert torch.equal(*encoder.eval()(tokens))
