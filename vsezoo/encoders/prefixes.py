"""The last states of a recurrent network without gradients: what captions have in common at the start is read once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.encoders.recurrence import GRUCell, LSTMCell, Step


def can_share(rnn: nn.GRU | nn.LSTM) -> bool:
    """Return whether `read_prefixes` gives what the network does: in one layer and direction, in float32 on the CPU."""
    is_plain = rnn.num_layers == 1 and not rnn.bidirectional and next(rnn.parameters()).device.type == "cpu"
    return is_plain and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def read_prefixes(rnn: nn.GRU | nn.LSTM, inputs: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Return the state after the last word of each caption, `(B, H)`.

    At each step, captions are in groups of the same words so far, and each group has one state.

    Args:
        rnn: the network; see `can_share`.
        inputs: the embeddings of distinct words, `(W, word_dim)`.
        words: the words of the captions as rows of `inputs`, `(B, L)`.
        lengths: their numbers of words, `(B,)`.
    """
    cell = LSTMCell if isinstance(rnn, nn.LSTM) else GRUCell
    weight_ih, weight_hh, bias_ih, bias_hh = rnn.all_weights[0]
    read = functional.linear(inputs, weight_ih, bias_ih)
    count, group = len(inputs), torch.zeros(len(words), dtype=torch.int64)
    state = kept = read.new_zeros(1, rnn.hidden_size)
    last = read.new_zeros(len(words), rnn.hidden_size)
    for step in range(int(lengths.max())):
        captions = (lengths > step).nonzero()[:, 0]
        groups, group[captions] = torch.unique(group[captions] * count + words[captions, step], return_inverse=True)
        before = state[groups // count]
        state = torch.empty_like(before)
        pushed = functional.linear(before, weight_hh, bias_hh)
        now = Step(before, kept[groups // count], pushed, torch.empty_like(before))
        cell.advance(now, read[groups % count], state)
        kept = now.kept
        ended = captions[lengths[captions] == step + 1]
        last[ended] = state[group[ended]]
    return last
