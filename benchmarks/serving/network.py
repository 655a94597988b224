# SPDX-License-Identifier: Apache-2.0
"""A real network on the CPU: small convolutional eyes before a wide trunk. Needs torch.

The trunk's weights are read from memory for each inference, whatever the batch, as those of a large
model on a GPU are: that is what a batch saves. ``python -m benchmarks.serving.network FILE`` writes
it as a TorchScript file.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from benchmarks.serving.facts import HORIZON, SIDE_PX, TOLERANCE_RAD

_JOINTS = 6
_WIDTH, _DEPTH = 2048, 5


class Eye(nn.Sequential):
    """(B, 3, 64, 64) to (B, 512)."""

    def __init__(self) -> None:
        """Four convolutions, each of which halves the image."""
        channels = (3, 8, 16, 32, 32)
        layers: list[nn.Module] = []
        for given, made in pairwise(channels):
            layers += [nn.Conv2d(given, made, 3, stride=2, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.Flatten())


class Network(nn.Module):
    """The joints, and a little more."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.eyes = nn.ModuleList([Eye(), Eye()])
        seen = 2 * 32 * (SIDE_PX // 16) ** 2
        trunk: list[nn.Module] = [nn.Linear(seen + _JOINTS, _WIDTH)]
        for _ in range(_DEPTH):
            trunk += [nn.ReLU(), nn.Linear(_WIDTH, _WIDTH)]
        self.trunk = nn.Sequential(*trunk, nn.ReLU(), nn.Linear(_WIDTH, HORIZON * _JOINTS))

    def forward(
        self, front: torch.Tensor, wrist: torch.Tensor, state: torch.Tensor
    ) -> torch.Tensor:
        """(B, H, D) Actions."""
        seen = [eye(image) for eye, image in zip(self.eyes, (front, wrist), strict=True)]
        moves = torch.tanh(self.trunk(torch.cat([*seen, state], dim=1)))
        return state[:, None] + TOLERANCE_RAD * moves.view(-1, HORIZON, _JOINTS)


def main() -> None:
    """Run the program."""
    torch.manual_seed(0)
    image = torch.zeros(2, 3, SIDE_PX, SIDE_PX)
    example = (image, image, torch.zeros(2, _JOINTS))
    torch.jit.save(torch.jit.trace(Network().eval(), example), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
