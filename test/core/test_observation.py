# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.observation import (
    CommittedActions,
    Observation,
    ObservationRequest,
    Prefix,
    require_image,
)

NAMES = ("a/position", "g/position", "a/velocity")
IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


def observation(**facts: object) -> Observation:
    default = Observation(100, "wave", {"left": IMAGE}, NAMES, np.array([1.0, 2.0, 3.0]))
    return dataclasses.replace(default, **facts)  # type: ignore[arg-type]


def test_the_state_is_selected_by_name_in_the_order_asked_for():
    it = observation()

    assert it.select(("a/velocity", "a/position")).tolist() == [3.0, 1.0]
    assert it.select(()).shape == (0,)


def test_an_interface_that_is_not_measured_is_refused():
    with refused(
        ConfigError,
        "state b/position, c/position is not in the observation",
        "which has a/position, g/position, a/velocity",
    ):
        observation().select(("b/position", "a/position", "c/position"))
    with refused(ConfigError, "state b/position is not in the observation, which has none"):
        observation(state_names=(), state=np.zeros(0)).select(("b/position",))


def test_the_state_is_a_copy_that_cannot_be_written():
    given = np.array([1, 2, 3], dtype=np.float32)

    state = observation(state=given).state
    given[0] = 9.0

    assert state.tolist() == [1.0, 2.0, 3.0]
    assert state.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        state[0] = 9.0


def test_images_are_not_copied():
    assert observation().images["left"] is IMAGE


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), ()])
def test_a_state_of_another_shape_is_refused(shape: tuple[int, ...]):
    with refused(
        ConfigError,
        f"state has shape {shape}, expected (3,) for a/position, g/position, a/velocity",
    ):
        observation(state=np.zeros(shape))


def test_a_state_without_names_is_refused():
    with refused(ConfigError, "state has shape (3,), expected (0,) for no interfaces"):
        observation(state_names=())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_refused(value: float):
    with refused(ConfigError, f"state of g/position is {value}; it must be finite"):
        observation(state=np.array([1.0, value, 3.0]))


BAD_IMAGES = [
    (IMAGE[..., 0], "(4, 6) uint8"),
    (np.zeros((4, 6, 4), dtype=np.uint8), "(4, 6, 4) uint8"),
    (np.zeros((3, 4, 6), dtype=np.uint8), "(3, 4, 6) uint8"),
    (IMAGE[np.newaxis], "(1, 4, 6, 3) uint8"),
    (IMAGE[:0], "(0, 6, 3) uint8"),
    (IMAGE.astype(np.float32), "(4, 6, 3) float32"),
]


@pytest.mark.parametrize(("image", "found"), BAD_IMAGES)
def test_what_is_not_an_image_is_refused(image: NDArray[np.uint8], found: str):
    with refused(ConfigError, f"camera 'left' must be (H, W, 3) uint8, found {found}"):
        observation(images={"left": image})
    with refused(ConfigError, f"the mirror must be (H, W, 3) uint8, found {found}"):
        require_image("the mirror", image)


def test_a_request_is_a_value():
    def request(epoch: int) -> ObservationRequest:
        return ObservationRequest(request_id=7, epoch=epoch, stamp_ns=100, must_go=True)

    assert request(1) == request(1)
    assert request(1) != request(2)
    assert request(1).committed is None


def test_observations_and_prefixes_compare_by_identity():
    # Comparing their arrays would raise, or be slow.
    it, prefix = observation(), Prefix(NAMES, np.zeros((2, 3)), 0.1, 0)

    assert it == it  # noqa: PLR0124
    assert it != observation()
    assert prefix != Prefix(NAMES, np.zeros((2, 3)), 0.1, 0)


# Five actions, a tenth of a second apart, the first due at 10 s.
MS = 1_000_000
STAMP, STEP = 10_000 * MS, 100 * MS
LINE = np.stack([np.arange(5.0), 10.0 * np.arange(5.0)], axis=1)
COMMITTED = CommittedActions(("a", "b"), STAMP, STEP, LINE, 0.25, 7)


def anchored(observation_ms: int, request_ms: int = 0) -> Prefix:
    prefix = COMMITTED.anchored(STAMP + observation_ms * MS, STAMP + request_ms * MS)
    assert prefix is not None
    return prefix


def test_a_prefix_is_what_is_committed_on_the_grid_of_the_chunk_to_come():
    prefix = anchored(130)

    assert (prefix.names, prefix.execution_horizon) == (("a", "b"), 7)
    assert prefix.actions[:, 0] == pytest.approx([1.3, 2.3, 3.3])
    assert prefix.actions[:, 1] == pytest.approx([13.0, 23.0, 33.0])


@pytest.mark.parametrize(
    ("observation_ms", "count"), [(-50, 5), (0, 5), (1, 4), (200, 3), (399, 1), (400, 1)]
)
def test_a_prefix_ends_with_the_last_committed_action(observation_ms: int, count: int):
    assert len(anchored(observation_ms).actions) == count


def test_before_the_first_committed_action_that_one_counts():
    assert anchored(-150).actions[:, 0] == pytest.approx([0.0, 0.0, 0.5, 1.5, 2.5, 3.5])


def test_nothing_committed_is_no_prefix():
    assert COMMITTED.anchored(STAMP + 401 * MS, STAMP) is None


def test_the_delay_counts_from_the_observation():
    assert anchored(100, request_ms=160).inference_delay_s == pytest.approx(0.25 + 0.06)
    assert anchored(160, request_ms=100).inference_delay_s == pytest.approx(0.25 - 0.06)
    assert anchored(390, request_ms=0).inference_delay_s == 0.0


def test_an_observation_has_the_prefix_of_its_request():
    request = ObservationRequest(7, 1, STAMP, must_go=False, committed=COMMITTED)

    prefix = observation(stamp_ns=STAMP + 200 * MS, request=request).prefix

    assert prefix is not None
    assert prefix.actions[0] == pytest.approx([2.0, 20.0])
    bare = dataclasses.replace(request, committed=None)
    assert observation(request=bare).prefix is None
    assert observation().prefix is None
