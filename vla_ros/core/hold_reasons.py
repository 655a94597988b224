# SPDX-License-Identifier: Apache-2.0
"""Why a robot holds: every reason there is, by the name that topics and reports show."""

from __future__ import annotations

STOPPED = "stopped"  # somebody stopped it; it stays so until it is started
STARTING = "starting"  # the first chunk of this epoch has not come yet
WAITING = "waiting"  # synchronous scheduling: at rest, while the policy thinks
PAUSED = "paused"  # speed_scale is zero
STARVED = "starved"  # the queue ran out while a request was under way
STALE_STATE = "stale_state"  # joint state is missing or too old
STALE_CAMERA = "stale_camera"  # a camera is missing, too old or out of step
SERVER_UNAVAILABLE = "server_unavailable"  # nobody answers at the policy server's address
SERVER_SILENT = "server_silent"  # a request had no answer within its deadline
POLICY_ERROR = "policy_error"  # the policy answered with an error
BAD_CHUNK = "bad_chunk"  # the policy's chunk was dropped
NOT_FOLLOWING = "not_following"  # the arm did not follow its commands; it stays so until started
STALLED = "stalled"  # the executor itself did not get to run; the robot has come to rest meanwhile
CLOCK_JUMPED = "clock_jumped"  # the ROS clock went back
DEACTIVATED = "deactivated"  # the executor's node is not active
