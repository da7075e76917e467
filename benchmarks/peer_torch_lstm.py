"""The same network in PyTorch, in the environment of `make peers`: see `lstm_kernel.py`, which talks to this.

    .venv-peers/bin/python benchmarks/peer_torch_lstm.py WINDOWS STEPS FEATURES THREADS

Reads `train BATCH` or `predict BATCH` a line, runs one epoch, and answers with its seconds. Each size of batch has a
network of its own, which goes on where its last epoch ended.
"""

import sys
import time

import torch


class Network(torch.nn.Module):
    """LSTM 64 -> LSTM 32 -> Dense 1."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = torch.nn.LSTM(features, 64, batch_first=True)
        self.second = torch.nn.LSTM(64, 32, batch_first=True)
        self.dense = torch.nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `(B, 1)` for windows `(B, T, F)`."""
        h, _ = self.second(self.first(x)[0])  # (B, T, 32)
        return self.dense(h[:, -1])


def train(model: Network, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, batch: int) -> None:
    """Trains for one epoch."""
    for first in range(0, len(x), batch):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x[first : first + batch]), y[first : first + batch])
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    windows, steps, features, threads = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(windows, steps, features)
    y = x[:, -1, :1] / 2
    models: dict[int, tuple[Network, torch.optim.Optimizer]] = {}
    for line in sys.stdin:
        task, size = line.split()
        batch = int(size)
        if batch not in models:
            model = Network(features)
            models[batch] = model, torch.optim.Adam(model.parameters())
        model, optimizer = models[batch]
        start = time.perf_counter()
        if task == "train":
            train(model, optimizer, x, y, batch)
        else:
            with torch.inference_mode():
                for first in range(0, windows, batch):
                    model(x[first : first + batch])
        print(time.perf_counter() - start, flush=True)
