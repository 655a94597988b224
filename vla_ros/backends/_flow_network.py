# SPDX-License-Identifier: Apache-2.0
"""A small flow-matching network, evaluated in numpy: a multi-layer perceptron with SiLU.

It is shown a noisy chunk, the time and some features, and answers with the chunk that it takes this
for; the velocity follows from that. Time runs from noise at 0 to the chunk at 1. Everything is
normalised: features by their mean and scale, each action of each step by its own. Immutable; any
thread may call.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Half waves of the time's sines and cosines over the whole flow.
_WAVES = np.array([0.5, 1.0, 2.0, 4.0, 8.0], np.float32)
# What a feature is clipped to, so that the unforeseen is at least not without bounds.
_FURTHEST = 6.0
_KINDS = ("interfaces", "feature_mean", "feature_scale", "chunk_mean", "chunk_scale")


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A trained network.

    Attributes:
        interfaces: (D,) The columns of a chunk.
        feature_mean: (F,).
        feature_scale: (F,).
        chunk_mean: (H, D).
        chunk_scale: (H, D).
        weights: Of each layer, (inputs, outputs).
        biases: Of each layer, (outputs,).
    """

    interfaces: tuple[str, ...]
    feature_mean: Floats
    feature_scale: Floats
    chunk_mean: Floats
    chunk_scale: Floats
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def normalised(self, actions: Doubles) -> Doubles:
        """(..., D) Actions of the first steps of a chunk as the network has them."""
        steps = actions.shape[-2]
        return (actions - self.chunk_mean[:steps]) / self.chunk_scale[:steps]

    def actions(self, chunk: Doubles) -> Doubles:
        """(H, D) The actions behind a normalised chunk."""
        return chunk * self.chunk_scale + self.chunk_mean

    def features(self, raw: Doubles) -> Doubles:
        """(..., F) Features as the network has them."""
        return np.clip((raw - self.feature_mean) / self.feature_scale, -_FURTHEST, _FURTHEST)

    def flow(self, features: Doubles) -> Flow:
        """The flow of chunks that fit (F,) raw features."""
        return Flow(self, self.features(features))


class Flow:
    """The flow of chunks for one observation."""

    def __init__(self, network: Network, features: Doubles) -> None:
        """Keep (F,) normalised features."""
        self._network = network
        self._features = features

    def velocity(self, x: Doubles, time: float) -> Doubles:
        """(H, D) The velocity at a normalised noisy chunk (H, D), at a time in [0, 1)."""
        chunk, _ = self._forward(x, time)
        return (chunk - x) / (1.0 - time)

    def vjp(self, x: Doubles, time: float, cotangent: Doubles) -> Doubles:
        """(H, D) A cotangent (H, D) times the Jacobian of the chunk that ``x`` is taken for."""
        _, rising = self._forward(x, time)
        weights = self._network.weights
        back: NDArray[Any] = cotangent.ravel().astype(weights[-1].dtype) @ weights[-1].T
        for index in range(len(rising) - 1, -1, -1):
            back = (back * rising[index]) @ weights[index].T
        return back[: x.size].reshape(x.shape).astype(np.float64)

    def _forward(self, x: Doubles, time: float) -> tuple[Doubles, list[NDArray[Any]]]:
        """(H, D) The chunk, and how each hidden layer's outputs rise with their inputs."""
        net = self._network
        parts = [x.ravel(), self._features, time_waves(np.array([time]))[0]]
        # Numpy would else bring all weights to the chunk's precision, anew in each step.
        value: NDArray[Any] = np.concatenate(parts).astype(net.weights[0].dtype)
        rising = []
        for weights, biases in zip(net.weights[:-1], net.biases[:-1], strict=True):
            value, slope = silu(value @ weights + biases)
            rising.append(slope)
        chunk = value @ net.weights[-1] + net.biases[-1]
        return chunk.reshape(x.shape).astype(np.float64), rising


def time_waves(time: NDArray[Any]) -> NDArray[Any]:
    """(B, W) What the network is told of (B,) times."""
    angle = np.pi * time[:, None] * _WAVES
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def silu(value: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """``x * sigmoid(x)``, and its derivative."""
    gate = 1.0 / (1.0 + np.exp(-np.clip(value, -30.0, 30.0)))
    out = value * gate
    return out, gate + out * (1.0 - gate)


def save_network(network: Network, path: Path) -> None:
    """Write a network, its layers in half precision."""
    arrays = {name: np.array(getattr(network, name)) for name in _KINDS}
    for index, (weights, biases) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays[f"weights_{index}"] = weights.astype(np.float16)
        arrays[f"biases_{index}"] = biases.astype(np.float16)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_network(path: Path) -> Network:
    """Read a network.

    Raises:
        ConfigError: The file cannot be read, lacks an array or holds one of a wrong shape.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = dict(loaded) if isinstance(loaded, NpzFile) else {}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as a network: {error}") from error
    layers = sum(name.startswith("weights_") for name in arrays)
    wanted = [*_KINDS, *(f"{kind}_{i}" for i in range(layers) for kind in ("weights", "biases"))]
    missing = [name for name in wanted if name not in arrays]
    if missing or layers == 0:
        raise ConfigError(f"{path}: lacks {', '.join(missing) or 'layers'}")
    norms = {name: arrays[name].astype(np.float32) for name in _KINDS[1:]}
    network = Network(
        interfaces=tuple(arrays["interfaces"].tolist()),
        **norms,
        weights=tuple(arrays[f"weights_{i}"].astype(np.float32) for i in range(layers)),
        biases=tuple(arrays[f"biases_{i}"].astype(np.float32) for i in range(layers)),
    )
    _check(network, path)
    return network


def _check(network: Network, path: Path) -> None:
    chunk, features = network.chunk_mean, network.feature_mean
    inputs = chunk.size + features.size + 2 * len(_WAVES)
    sizes = [inputs, *(biases.size for biases in network.biases)]
    shapes = list(pairwise(sizes))
    found = [weights.shape for weights in network.weights]
    if (
        chunk.ndim != 2
        or chunk.shape[1] != len(network.interfaces)
        or network.chunk_scale.shape != chunk.shape
        or network.feature_scale.shape != features.shape
        or found != shapes
        or sizes[-1] != chunk.size
    ):
        raise ConfigError(
            f"{path}: arrays do not fit together: chunk {chunk.shape}, features {features.shape},"
            f" layers {found}"
        )
