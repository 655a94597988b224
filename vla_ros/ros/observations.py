# SPDX-License-Identifier: Apache-2.0
"""Observations between ROS and core. Pure; any thread may call."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from vla_ros_msgs.msg import Observation as ObservationMsg
from vla_ros_msgs.msg import ObservationRequest as ObservationRequestMsg

from vla_ros.core.errors import ObservationError
from vla_ros.core.hold_reasons import STALE_CAMERA, STALE_STATE
from vla_ros.core.observation import Observation
from vla_ros.core.past_frames import camera_of
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.synchronizer import SyncedSample
from vla_ros.ros.images import camera_image, rgb_from_camera_image
from vla_ros.ros.ring_messages import doubles, request_from_message
from vla_ros.ros.stamps import ns_from_time, time_from_ns


def observation_to_message(
    sample: SyncedSample[Image | CompressedImage],
    robot: RobotSpec,
    instruction: str,
    request: ObservationRequestMsg,
) -> ObservationMsg:
    """The answer to a request, out of camera messages as they came.

    Args:
        sample: One synchronized moment.
        robot: Whose cameras these are.
        instruction: What the robot shall do.
        request: What is answered.

    Raises:
        ObservationError: An image is not what the robot's description says.
    """
    message = ObservationMsg(
        request=request,
        instruction=instruction,
        images=[
            camera_image(image, frame, robot.cameras[camera_of(frame)])
            for frame, (_, image) in sample.images.items()
        ],
        state_names=list(sample.state_names),
        state=doubles(sample.state),
    )
    message.header.stamp = time_from_ns(sample.stamp_ns)
    return message


def observation_from_message(message: ObservationMsg, robot: RobotSpec) -> Observation:
    """An observation with its images decoded.

    Raises:
        ObservationError: An image or the state is not what the robot's description says.
        ConfigError: The request's prefix is malformed.
    """
    images = {}
    for image in message.images:
        camera = camera_of(image.camera)
        if camera not in robot.cameras:
            raise ObservationError(
                f"camera {image.camera!r} is not in robot {robot.name}, which has"
                f" {', '.join(robot.cameras) or 'none'}",
                reason=STALE_CAMERA,
                stream=image.camera,
            )
        images[image.camera] = rgb_from_camera_image(image, robot.cameras[camera])
    state = np.array(message.state, dtype=np.float64)
    if len(state) != len(message.state_names) or not np.isfinite(state).all():
        raise ObservationError(
            f"the observation's state has {len(state)} values for {len(message.state_names)} names,"
            f" {np.count_nonzero(~np.isfinite(state))} of them not finite",
            reason=STALE_STATE,
            stream="state",
        )
    return Observation(
        stamp_ns=ns_from_time(message.header.stamp),
        instruction=message.instruction,
        images=images,
        state_names=tuple(message.state_names),
        state=state,
        request=request_from_message(message.request),
    )
