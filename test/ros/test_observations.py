# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from vla_ros_msgs.msg import ObservationRequest

from test.core.helpers import robot
from vla_ros.core.errors import ConfigError, ObservationError
from vla_ros.core.synchronizer import SyncedSample
from vla_ros.ros.observations import observation_from_message, observation_to_message
from vla_ros.ros.stamps import time_from_ns

RGB = np.full((4, 6, 3), (200, 100, 0), dtype=np.uint8)
STAMP_NS = 12_345_678_901
REQUEST = ObservationRequest(request_id=5, epoch=2, stamp=time_from_ns(99), must_go=True)


def message():
    raw = Image(height=4, width=6, step=18, encoding="bgr8", data=RGB[:, :, ::-1].tobytes())
    raw.header.stamp = time_from_ns(STAMP_NS)
    jpeg = CompressedImage(data=cv2.imencode(".jpg", RGB[:, :, ::-1])[1].tobytes())
    sample = SyncedSample(
        STAMP_NS,
        {"left": (STAMP_NS, raw), "right": (STAMP_NS + 1, jpeg)},
        ("w/position", "a/position", "g/position"),
        np.array([0.1, 0.2, 0.3]),
    )
    return observation_to_message(sample, robot(), "do it", REQUEST)


def test_there_and_back_again():
    observation = observation_from_message(message(), robot())

    assert observation.stamp_ns == STAMP_NS
    assert observation.instruction == "do it"
    assert set(observation.images) == {"left", "right"}
    np.testing.assert_array_equal(observation.images["left"], RGB)
    np.testing.assert_allclose(observation.images["right"].astype(int), RGB, atol=3)
    np.testing.assert_array_equal(observation.select(("a/position",)), [0.2])
    assert observation.request is not None
    assert (observation.request.request_id, observation.request.epoch) == (5, 2)
    assert (observation.request.stamp_ns, observation.request.must_go) == (99, True)


def test_images_say_when_they_were_taken():
    assert message().images[0].stamp == time_from_ns(STAMP_NS)


def test_a_wrong_image_is_refused_when_the_observation_is_made():
    bad = Image(height=2, width=2, step=6, encoding="rgb8", data=bytes(12))
    sample = SyncedSample(0, {"left": (0, bad)}, (), np.zeros(0))

    with pytest.raises(ObservationError, match="camera left: image is 2x2 px"):
        observation_to_message(sample, robot(), "", REQUEST)


def test_a_camera_that_the_robot_lacks_is_refused():
    bad = message()
    bad.images[0].camera = "back"

    with pytest.raises(ObservationError, match=r"camera 'back' is not in .* has left, right"):
        observation_from_message(bad, robot())


@pytest.mark.parametrize("state", [[0.1], [0.1, 0.2, float("nan")]])
def test_a_malformed_state_is_refused(state: list[float]):
    bad = message()
    bad.state = array.array("d", state)

    with pytest.raises(ObservationError, match="the observation's state has") as caught:
        observation_from_message(bad, robot())
    assert caught.value.reason == "stale_state"


def test_malformed_committed_actions_are_refused():
    bad = message()
    bad.request.committed_length, bad.request.names = 3, ["a/position"]

    with pytest.raises(ConfigError, match="committed"):
        observation_from_message(bad, robot())


def test_frames_of_the_past_are_images_like_others():
    jpeg = CompressedImage(data=cv2.imencode(".jpg", RGB)[1].tobytes())
    sample = SyncedSample(
        STAMP_NS, {"right": (STAMP_NS, jpeg), "right@-20": (STAMP_NS - 5, jpeg)}, (), np.zeros(0)
    )

    made = observation_to_message(sample, robot(), "", ObservationRequest())

    # Compressed stays compressed.
    assert [(image.camera, image.encoding) for image in made.images] == [
        ("right", "jpeg"),
        ("right@-20", "jpeg"),
    ]
    assert set(observation_from_message(made, robot()).images) == {"right", "right@-20"}
    made.images[1].camera = "back@-20"
    with pytest.raises(ObservationError, match="camera 'back@-20' is not in"):
        observation_from_message(made, robot())
