# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from test.core.refusals import refused
from vla_ros.backends._flow_network import (
    Network,
    load_network,
    save_network,
    silu,
    time_waves,
)
from vla_ros.core.errors import ConfigError

H, D, F = 4, 2, 3
RNG = np.random.default_rng(2)
X, SEEN = RNG.standard_normal((H, D)), RNG.standard_normal(F)


def network(*, hidden: tuple[int, ...] = (7, 5)) -> Network:
    sizes = [H * D + F + time_waves(np.zeros(1)).shape[1], *hidden, H * D]
    return Network(
        ("a", "b"),
        feature_mean=RNG.standard_normal(F),
        feature_scale=np.array([0.5, 1.0, 2.0]),
        chunk_mean=RNG.standard_normal((H, D)),
        chunk_scale=RNG.uniform(0.1, 2.0, (H, D)),
        weights=tuple(0.5 * RNG.standard_normal(shape) for shape in pairwise(sizes)),
        biases=tuple(RNG.standard_normal(size) for size in sizes[1:]),
    )


def test_the_velocity_leads_to_the_chunk_that_it_takes_the_noise_for():
    flow = network().flow(SEEN)
    chunk = X + 0.7 * flow.velocity(X, 0.3)

    # At the last step, and seen from anywhere on the way there, the same.
    assert not np.allclose(chunk, X + 0.2 * flow.velocity(X, 0.8))
    assert chunk.shape == (H, D)
    np.testing.assert_array_equal(chunk, X + 0.7 * flow.velocity(X.copy(), 0.3))


@pytest.mark.parametrize("hidden", [(), (6,), (7, 5)])
def test_the_jacobian_is_the_one_of_finite_differences(hidden: tuple[int, ...]):
    flow, time = network(hidden=hidden).flow(SEEN), 0.35
    cotangent = RNG.standard_normal((H, D))

    def projected(x: np.ndarray) -> float:
        chunk = x + (1.0 - time) * flow.velocity(x, time)
        return float((cotangent * chunk).sum())

    slope = np.zeros((H, D))
    for index in np.ndindex(H, D):
        step = np.zeros((H, D))
        step[index] = 1e-5
        slope[index] = (projected(X + step) - projected(X - step)) / 2e-5

    np.testing.assert_allclose(flow.vjp(X, time, cotangent), slope, rtol=1e-6, atol=1e-9)


def test_silu_and_its_slope():
    value = np.linspace(-40.0, 40.0, 81)
    out, slope = silu(value)

    np.testing.assert_allclose(out, value / (1.0 + np.exp(-value)), atol=1e-10)
    np.testing.assert_allclose(
        slope, (silu(value + 1e-6)[0] - silu(value - 1e-6)[0]) / 2e-6, atol=1e-8
    )


def test_times_are_told_apart():
    waves = time_waves(np.linspace(0.0, 1.0, 101))

    apart = np.linalg.norm(waves[:, None] - waves, axis=2) + np.eye(101)
    assert apart.min() > 0.05


def test_what_is_normalised_can_be_undone():
    made = network()

    np.testing.assert_allclose(made.actions(made.normalised(X)), X, atol=1e-12)
    np.testing.assert_allclose(made.normalised(X[:2]), made.normalised(X)[:2])


def test_a_feature_never_seen_is_bounded():
    made = network()

    np.testing.assert_array_equal(made.features(np.full(F, 1e6)), np.full(F, 6.0))
    np.testing.assert_allclose(
        made.features(made.feature_mean + made.feature_scale), np.ones(F), atol=1e-12
    )


def test_a_network_is_read_as_it_was_written(tmp_path: Path):
    made = network()
    save_network(made, tmp_path / "made.npz")

    read = load_network(tmp_path / "made.npz")

    assert read.interfaces == made.interfaces
    np.testing.assert_allclose(read.chunk_scale, made.chunk_scale, rtol=1e-6)
    np.testing.assert_allclose(read.feature_mean, made.feature_mean, rtol=1e-6)
    layers = (*read.weights, *read.biases), (*made.weights, *made.biases)
    for one, other in zip(*layers, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        read.flow(SEEN).velocity(X, 0.5), made.flow(SEEN).velocity(X, 0.5), atol=0.05
    )


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04cut off"], ids=len)
def test_what_is_no_network_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)

    with refused(ConfigError, "bad.npz", "cannot be read"):
        load_network(path)


def test_a_bare_array_is_refused(tmp_path: Path):
    path = tmp_path / "bare.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))

    with refused(ConfigError, "bare.npz", "interfaces, feature_mean"):
        load_network(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.npz"):
        load_network(tmp_path / "none.npz")


def test_pickles_are_not_read(tmp_path: Path):
    path = tmp_path / "evil.npz"
    np.savez(path, interfaces=np.array([{}], dtype=object))

    with refused(ConfigError, "evil.npz"):
        load_network(path)


def test_a_file_without_an_array_is_refused(tmp_path: Path):
    path = tmp_path / "part.npz"
    save_network(network(), path)
    with np.load(path) as file:
        arrays = dict(file)
    del arrays["biases_1"], arrays["chunk_mean"]
    np.savez(path, **arrays)

    with refused(ConfigError, "part.npz", "chunk_mean, biases_1"):
        load_network(path)


@pytest.mark.parametrize(
    "change",
    [
        {"interfaces": ("a",)},
        {"chunk_mean": np.zeros(H)},
        {"chunk_scale": np.ones((H, D + 1))},
        {"feature_scale": np.ones(F + 1)},
        {"feature_mean": np.zeros(F + 1), "feature_scale": np.ones(F + 1)},
        {"biases": (np.zeros(7), np.zeros(5), np.zeros(H * D + 1))},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, object]):
    path = tmp_path / "odd.npz"
    save_network(replace(network(), **change), path)

    with refused(ConfigError, "odd.npz", "do not fit together"):
        load_network(path)
