"""The network that scores log lines; TorchServe's model file, so exactly one class lives here."""

import torch
from torch import nn

EMBEDDING_SIZE = 384
"""Values of one line's embedding."""
FEATURE_COUNT = 10
"""Values measured beside the text; names and meaning: `log_encoding.FEATURES`."""


class AnomalyModel(nn.Module):
    """An LSTM (Hochreiter and Schmidhuber, 1997) over log lines, a linear layer, a sigmoid.

    One step is one log line: its embedding followed by its features.
    """

    def __init__(self, hidden_size: int = 128) -> None:
        super().__init__()
        self.lstm = nn.LSTM(EMBEDDING_SIZE + FEATURE_COUNT, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, lines: torch.Tensor) -> torch.Tensor:
        """Score sequences of log lines, oldest line first.

        Args:
            lines: float32, shape (batch, steps, 394), steps >= 1.

        Returns:
            float32, shape (batch,): 0 is ordinary, 1 is anomalous at the last step.
        """
        _, (hidden, _) = self.lstm(lines)
        return torch.sigmoid(self.linear(hidden[-1])).squeeze(-1)
