# SPDX-License-Identifier: Apache-2.0
"""A simulated G1 in Unitree's words: commands in, states, rewards and the simulator's state out.

As unitree_sim_isaaclab has it: of the body only the joints that are commanded on the robot (its
arms) follow ``LowCmd``, by their position alone; the state is one of the moments at which ``look``
was called, however often it is sent; the accelerometer tells the pelvis's velocity, and the
quaternion is x, y, z, w. One thread. Radians, metres.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.drivers.unitree.body_spec import UnitreeSpec
from vla_ros.drivers.unitree.crc import is_intact, sealed
from vla_ros.drivers.unitree.idl_go import MotorCmds, MotorStates
from vla_ros.drivers.unitree.idl_go import MotorState as HandState
from vla_ros.drivers.unitree.idl_hg import MOTORS, IMUState, LowCmd, LowState, MotorState
from vla_ros.sim.world import World

Values = NDArray[np.float64]
_QUANTITIES = ("position", "velocity", "effort")
_UPRIGHT_XYZW = [0.0, 0.0, 0.0, 1.0]
_UPRIGHT_WXYZ = [1.0, 0.0, 0.0, 0.0]


class UnitreeRobot:
    """The robot of a world, as it is spoken to."""

    def __init__(self, world: World, robot: RobotSpec, unitree: UnitreeSpec) -> None:
        """Look at the world, which must have been made.

        Args:
            world: Where the robot is.
            robot: The robot.
            unitree: Where its joints stand in Unitree's messages.

        Raises:
            ConfigError: A joint of the hands is not commanded on the robot.
        """
        self._world = world
        self._unitree = unitree
        columns = {name.rpartition("/")[0]: at for at, name in enumerate(robot.command_names)}
        self._arms = {
            motor.place: columns[joint]
            for joint, motor in unitree.motors.items()
            if joint in columns
        }
        missing = [joint for joint in unitree.hands if joint not in columns]
        if missing:
            raise ConfigError(
                f"{robot.source}: {unitree.source} has joints of hands that the robot does not"
                f" command: {', '.join(missing)}"
            )
        self._hand_columns = [columns[joint] for joint in unitree.hands]
        self._scale = unitree.inspire_hands()
        self._state, self._hands = LowState(), MotorStates()
        self._targets = world.state(robot.command_names)
        self._command_names = robot.command_names
        self.look()

    def begin(self) -> None:
        """Forget all commands: stay where the world has it now."""
        self._targets = self._world.state(self._command_names)
        self.look()

    def follow_body(self, command: LowCmd) -> bool:
        """Move the arms; nothing moves if the checksum is wrong or a position is no number.

        Returns:
            Whether the checksum was right.
        """
        if not is_intact(command):
            return False
        arms = np.array([command.motor_cmd[place].q for place in self._arms])
        if np.isfinite(arms).all():
            self._move_to(list(self._arms.values()), arms)
        return True

    def follow_hands(self, command: MotorCmds) -> bool:
        """Move the hands; nothing moves if there are too few values or one is no number.

        Returns:
            Whether there were enough.
        """
        count = len(self._hand_columns)
        if len(command.cmds) < count:
            return False
        openness = np.array([motor.q for motor in command.cmds[:count]])
        if np.isfinite(openness).all():
            self._move_to(self._hand_columns, self._scale.radians(np.clip(openness, 0.0, 1.0)))
        return True

    def _move_to(self, columns: list[int], positions: Values) -> None:
        self._targets[columns] = positions
        self._world.set_targets(self._targets)

    def look(self) -> None:
        """Take the present state of the world for what is sent from now on."""
        motors = [MotorState() for _ in range(MOTORS)]
        for joint, motor in self._unitree.motors.items():
            q, dq, tau_est = self._measured(joint)
            motors[motor.place] = MotorState(q=q, dq=dq, tau_est=tau_est)
        imu = IMUState(quaternion=_UPRIGHT_XYZW)
        self._state = LowState(tick=self._state.tick, imu_state=imu, motor_state=motors)
        measured = np.array([self._measured(joint) for joint in self._unitree.hands])
        openness = self._scale.normalized(measured[:, 0]).tolist()
        self._hands = MotorStates(
            [
                HandState(q=q, dq=dq, tau_est=tau_est)
                for q, (_, dq, tau_est) in zip(openness, measured.tolist(), strict=True)
            ]
        )

    def _measured(self, joint: str) -> list[float]:
        """Position, velocity and effort."""
        interfaces = tuple(f"{joint}/{quantity}" for quantity in _QUANTITIES)
        values: list[float] = self._world.state(interfaces).tolist()
        return values

    def body_state(self) -> LowState:
        """The next message of the body; each has the next number, whether or not it says more."""
        self._state.tick = (self._state.tick + 1) % 2**32
        return sealed(self._state)

    def hands_state(self) -> MotorStates:
        """The message of the hands, 12 values."""
        return self._hands

    def rewards(self, time_s: float) -> str:
        """The reward as JSON: 1 while the task is done, else 0.

        Args:
            time_s: Wall clock time.
        """
        reward = float(self._world.task_state().success)
        return json.dumps({"rewards": [reward], "timestamp": time_s})

    def sim_state(self, task_name: str) -> str:
        """The scene as JSON, in Isaac Lab's form: lists of one environment, quaternions w first.

        Args:
            task_name: Which of the simulator's tasks is played.
        """
        body = [self._state.motor_state[motor.place] for motor in self._unitree.motors.values()]
        hands = [self._measured(joint) for joint in self._unitree.hands]
        root = [*self._world.base_m, *_UPRIGHT_WXYZ]
        scene = {
            "articulation": {
                "robot": {
                    "root_pose": [root],
                    "root_velocity": [[0.0] * 6],
                    "joint_position": [[motor.q for motor in body] + [hand[0] for hand in hands]],
                    "joint_velocity": [[motor.dq for motor in body] + [hand[1] for hand in hands]],
                }
            },
            "deformable_object": {},
            "rigid_object": {name: self._object(name) for name in self._world.objects},
        }
        return json.dumps({"init_state": json.dumps(scene), "task_name": task_name})

    def _object(self, name: str) -> dict[str, list[list[float]]]:
        position, quaternion = self._world.object_pose(name)
        velocity = self._world.object_velocity(name)
        return {
            "root_pose": [[*position.tolist(), *quaternion.tolist()]],
            "root_velocity": [velocity.tolist()],
        }
