"""What both sides have in addition to their linear layer: a perceptron, and dropout."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """`W x + b + V gelu(U x + c) + d`, of which `W x + b` is the linear layer of an encoder.

    The linear layer learns fast and generalises; the perceptron corrects it. In training, numbers of x and of the
    hidden layer are dropped.

    Args:
        linear: the layer of the encoder, which it has under a name of its own; only its widths are used.
        hidden_size: width of the hidden layer; 0: no perceptron.
        input_dropout: probability of dropping a number of x.
        dropout: the same for the hidden layer.
    """

    def __init__(self, linear: nn.Linear, hidden_size: int, input_dropout: float, dropout: float) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(input_dropout)
        self.perceptron = None
        if hidden_size:
            self.perceptron = nn.Sequential(
                nn.Linear(linear.in_features, hidden_size),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_size, linear.out_features),
            )

    def forward(self, inputs: Tensor, linear: nn.Linear) -> Tensor:
        """Return `(B, D)` float32 of inputs `(B, F)`."""
        inputs = self.input_dropout(inputs)
        outputs: Tensor = linear(inputs)
        if self.perceptron is not None:
            outputs = outputs + self.perceptron(inputs)
        return outputs.float()  # eight bits of mantissa would blur the cosines
