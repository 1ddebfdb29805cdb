"""The text encoders `gru`, `lstm` and `bow`: their options, and captions without any word that is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TinyPairs, dotted, make_model
from torch import Tensor, nn

from vsezoo.construction import create_model
from vsezoo.encoders.bow import BagOfWordsTextEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder, LSTMTextEncoder, RecurrentTextEncoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import TextEncoder, Tokens
from vsezoo.text import SPECIAL_WORDS, Vocabulary, WordTokenizer

RECURRENT = pytest.mark.parametrize("encoder_class", [GRUTextEncoder, LSTMTextEncoder])
EVERY = pytest.mark.parametrize("name", ["gru", "lstm", "bow"])


def build(encoder_class: Callable[..., Any], words: int = 20, **options: Any) -> Any:
    torch.manual_seed(0)
    tokenizer = WordTokenizer(1, Vocabulary([*SPECIAL_WORDS, *(f"w{index}" for index in range(words - 4))]))
    return encoder_class(**{"embed_size": 6, "tokenizer": tokenizer, **options}).eval()


def draw_captions(lengths: list[int]) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 20, size=length).astype(np.int32) for length in lengths]


def last_states(encoder: RecurrentTextEncoder, ids: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
    """Return the outputs of torch's own network on one caption, `(L, 2, D)`, forwards and backwards."""
    outputs = encoder.rnn(encoder.embed.weight[torch.from_numpy(ids).long()])[0]
    forwards, backwards = outputs.chunk(2, dim=-1)
    return forwards, backwards


# Recurrent networks


@torch.no_grad()
@RECURRENT
@pytest.mark.parametrize("num_layers", [1, 2])
def test_two_directions_are_averaged_when_each_has_read_the_caption(
    encoder_class: type[RecurrentTextEncoder], num_layers: int
) -> None:
    captions = draw_captions([3, 7, 1, 5])
    encoder = build(encoder_class, word_dim=3, num_layers=num_layers, bidirectional=True)
    means = []
    for caption in captions:
        forwards, backwards = last_states(encoder, caption)
        means.append((forwards[-1] + backwards[0]) / 2)
    expected = nn.functional.normalize(torch.stack(means))
    torch.testing.assert_close(encoder(Tokens.pad(captions)), expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@RECURRENT
def test_the_quirk_takes_the_state_that_has_read_the_last_word_alone(encoder_class: type[RecurrentTextEncoder]) -> None:
    captions = draw_captions([3, 7, 1, 5])
    encoder = build(encoder_class, word_dim=3, bidirectional=True, backward_reads="last_word")
    means = []
    for caption in captions:
        forwards, backwards = last_states(encoder, caption)
        _, alone = last_states(encoder, caption[-1:])
        torch.testing.assert_close(backwards[-1], alone[0])
        means.append((forwards[-1] + alone[0]) / 2)
    expected = nn.functional.normalize(torch.stack(means))
    torch.testing.assert_close(encoder(Tokens.pad(captions)), expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_caption_is_the_hidden_state_of_the_lstm() -> None:
    captions = draw_captions([4, 1, 9])
    encoder = build(LSTMTextEncoder, word_dim=3)
    weight_ih, weight_hh, bias_ih, bias_hh = encoder.rnn.parameters()
    expected = []
    for caption in captions:
        state = memory = torch.zeros(6)
        for word in encoder.embed.weight[torch.from_numpy(caption).long()]:
            enter, forget, new, leave = (weight_ih @ word + bias_ih + weight_hh @ state + bias_hh).chunk(4)
            memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
            state = leave.sigmoid() * memory.tanh()
        expected.append(state / state.norm())
    torch.testing.assert_close(encoder(Tokens.pad(captions)), torch.stack(expected), rtol=1e-5, atol=1e-6)


@RECURRENT
def test_tensors_have_the_names_of_published_checkpoints(encoder_class: type[RecurrentTextEncoder]) -> None:
    one = ["embed.weight", *(f"rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))]
    assert list(build(encoder_class).state_dict()) == one
    both = [*one, *(f"{name}_reverse" for name in one[1:])]
    assert list(build(encoder_class, bidirectional=True).state_dict()) == both


# Initial weights


@pytest.mark.parametrize("bidirectional", [False, True])
@RECURRENT
def test_orthogonal_init_is_that_of_kiros(encoder_class: type[RecurrentTextEncoder], bidirectional: bool) -> None:
    encoder = build(encoder_class, 300, embed_size=40, word_dim=30, init="orthogonal", bidirectional=bidirectional)
    assert 0.099 < encoder.embed.weight.abs().max() <= 0.1
    for name, weight in encoder.rnn.named_parameters():
        if name.startswith("bias"):
            assert weight.abs().max() == 0
        for gate in weight.split(40) if name.startswith("weight") else ():
            if name.startswith("weight_hh"):
                torch.testing.assert_close(gate @ gate.T, torch.eye(40), rtol=0, atol=1e-5)
            else:
                assert gate.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)
                assert gate.abs().max() <= 0.1


def test_orthogonal_init_of_square_matrices() -> None:
    encoder = build(GRUTextEncoder, 24, embed_size=24, word_dim=24, init="orthogonal")
    gates = encoder.rnn.weight_ih_l0.split(24)
    for square in (encoder.embed.weight, *gates):
        torch.testing.assert_close(square @ square.T, torch.eye(24), rtol=0, atol=1e-5)
    assert not torch.allclose(gates[0], gates[1])


@EVERY
def test_init_of_torch_is_wide(name: str) -> None:
    model = make_model(text_encoder=name, text_encoder__init="torch", embed_size=60, text_encoder__word_dim=60)
    embed = model.text_encoder.state_dict()["embed.weight"]
    assert embed.std().item() == pytest.approx(1, rel=0.1)
    rest = [value for key, value in model.text_encoder.state_dict().items() if key != "embed.weight"]
    assert all(0.9 / math.sqrt(60) < value.abs().max() <= 1 / math.sqrt(60) for value in rest)


# Bag of words


@torch.no_grad()
def test_a_bag_of_words_is_the_sum_of_all_its_words() -> None:
    encoder = build(BagOfWordsTextEncoder, 24, embed_size=2)
    encoder.embed.weight.zero_()
    encoder.embed.weight[:3] = torch.tensor([[0.0, 1.0], [3.0, 1.0], [-9.0, 9.0]])  # id 0 is a word, too: `<eos>`
    tokens = Tokens.pad([np.array([1, 1, 0]), np.array([0]), np.array([1, 0])])
    expected = torch.tensor([[6.0, 3.0], [0.0, 1.0], [3.0, 2.0]])
    torch.testing.assert_close(encoder(tokens), nn.functional.normalize(expected))


@torch.no_grad()
def test_padding_does_not_count_in_a_bag_of_words() -> None:
    encoder, captions = build(BagOfWordsTextEncoder), draw_captions([2, 9, 4, 1])
    together = encoder(Tokens.pad(captions))
    alone = torch.cat([encoder(Tokens.pad([caption])) for caption in captions])
    torch.testing.assert_close(together, alone)
    sums = torch.stack([encoder.embed.weight[torch.from_numpy(caption).long()].sum(dim=0) for caption in captions])
    torch.testing.assert_close(together, nn.functional.normalize(sums))
    encoder.use_abs = True
    torch.testing.assert_close(encoder(Tokens.pad(captions)), together.abs())


def test_a_bag_of_zeros_has_neither_nan_nor_an_endless_gradient() -> None:
    encoder = build(BagOfWordsTextEncoder)
    with torch.no_grad():
        encoder.embed.weight.zero_()
    embeddings = encoder(Tokens.pad(draw_captions([2, 3])))
    assert embeddings.tolist() == [[0.0] * 6] * 2
    embeddings.sum().backward()
    assert encoder.embed.weight.grad.isfinite().all()


def test_the_width_of_a_word_is_that_of_the_bag() -> None:
    assert build(BagOfWordsTextEncoder, word_dim=6).embed.weight.shape == (20, 6)
    with pytest.raises(RecipeError, match="word_dim is 300 and embed_size is 6") as caught:
        build(BagOfWordsTextEncoder, word_dim=300)
    assert "Set text_encoder.word_dim=0" in caught.value.remedy


# All


@pytest.mark.parametrize(
    ("encoder_class", "options", "message"),
    [
        (GRUTextEncoder, {"init": "zeros"}, "init is 'zeros'; it must be one of uniform, orthogonal, torch"),
        (BagOfWordsTextEncoder, {"init": "zeros"}, "init is 'zeros'"),
        (LSTMTextEncoder, {"backward_reads": "all"}, "backward_reads is 'all'; it must be one of caption, last_word"),
    ],
)
def test_impossible_options_are_refused(
    encoder_class: type[TextEncoder], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=f"^{message}"):
        build(encoder_class, **options)


@EVERY
@pytest.mark.parametrize("words", ["nltk", "split", "letters", "characters"])
def test_captions_without_a_known_word_are_embedded(name: str, words: str) -> None:
    model = make_model(text_encoder=name, text_encoder__words=words, text_encoder__word_dim=5)
    with torch.no_grad():
        texts = ["", "   ", "xyz qwert", "a dog", "a " * 400]
        embeddings = model.encode_texts(texts)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))
    assert torch.equal(embeddings[0], embeddings[1])
    if name != "bow":
        assert len(embeddings[1:].unique(dim=0)) == 4


@EVERY
def test_the_options_make_the_tokenizer(name: str) -> None:
    options = {"words": "split", "off_by_two": True, "vocab_threshold": 1, "word_dim": 5}
    settings = {f"text_encoder__{option}": value for option, value in options.items()}
    model = create_model("vsepp", TinyPairs(), settings={"text_encoder": name, "embed_size": 5, **dotted(settings)})
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    assert (tokenizer.rule.name, tokenizer.off_by_two, tokenizer.threshold) == ("split-words", True, 1)
    rows = len(tokenizer.vocabulary) - 2
    assert model.text_encoder.state_dict()["embed.weight"].shape == (rows, 5)
