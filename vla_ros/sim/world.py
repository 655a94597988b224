# SPDX-License-Identifier: Apache-2.0
"""A simulated robot in a scene: targets in; joints, images and the judge's word out.

Deterministic: the same seed and targets give the same episode. A command stays in force until the
next one, as a position servo keeps it. One thread. Radians, metres, seconds of simulated time.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.sim.judge import CubeState, Judge, TaskState, named_cube
from vla_ros.sim.layout import Layout, make_layout
from vla_ros.sim.model import LAMP, PLATE, build_model, cube_body, joint_of
from vla_ros.sim.render import RendererName, make_renderer
from vla_ros.sim.scene_spec import SceneSpec

# How long the cubes and the arm settle before an episode begins.
_SETTLE_S = 0.3


class World:
    """One simulated world.

    ``reset`` must be called before anything else.
    """

    def __init__(
        self, robot: RobotSpec, scene: SceneSpec, *, renderer: RendererName = "auto"
    ) -> None:
        """Build the world.

        Args:
            robot: The body, with a URDF and camera geometry.
            scene: What is around it.
            renderer: How cameras are rendered.

        Raises:
            ConfigError: The descriptions do not fit together, or the renderer cannot work here.
        """
        self._robot = robot
        self._scene = scene
        self._model = build_model(robot, scene)
        self._data = mujoco.MjData(self._model)
        self._past = mujoco.MjData(self._model)
        self._renderer = make_renderer(renderer, self._model)
        self._cameras = {name: self._model.camera(name).id for name in robot.cameras}
        self._actuators = [self._model.actuator(name).id for name in robot.command_names]
        self._cube_geoms = {name: self._model.geom(cube_body(name)).id for name in scene.cubes}
        self._plate_geom = self._model.geom(PLATE).id
        hand = [self._model.body(link).id for link in scene.hand.links]
        self._hand_geoms = np.isin(self._model.geom_bodyid, hand)
        self._steps = 0
        self._judge = Judge(scene, next(iter(scene.cubes)), (0.0, 0.0))
        self.instruction = ""

    def reset(self, seed: int, instruction: str | None = None) -> str:
        """Make the world anew; time starts at zero.

        Args:
            seed: Decides where everything lies and how it looks.
            instruction: What the robot shall do; drawn from the seed if None or empty.

        Returns:
            The instruction that now holds.

        Raises:
            ConfigError: The instruction names no cube, or more than one; or the seed is negative.
        """
        layout = make_layout(self._scene, seed)
        wanted = instruction or self._scene.task.instruction.format(cube=layout.target)
        target = named_cube(wanted, self._scene.cubes)
        mujoco.mj_resetData(self._model, self._data)
        self._arrange(layout)
        self.set_targets(np.array([layout.start[name] for name in self._robot.command_names]))
        mujoco.mj_step(self._model, self._data, round(_SETTLE_S / self.timestep_s))
        self._data.time, self._steps = 0.0, 0
        self._judge = Judge(self._scene, target, layout.plate_xy_m)
        self.instruction = wanted
        self._look()
        return wanted

    def _arrange(self, layout: Layout) -> None:
        model, data = self._model, self._data
        for name, (x, y) in layout.cube_xy_m.items():
            half_yaw = 0.5 * layout.cube_yaw_rad[name]
            height_m = 0.5 * self._scene.cubes[name].edge_m
            turned = [math.cos(half_yaw), 0.0, 0.0, math.sin(half_yaw)]
            data.joint(cube_body(name)).qpos = [x, y, height_m, *turned]
            model.geom(cube_body(name)).rgba[:3] = layout.cube_rgb[name]
        model.body(PLATE).pos[:2] = layout.plate_xy_m
        model.light(LAMP).pos[:] = layout.lamp_position_m
        model.light(LAMP).diffuse[:] = layout.lamp
        for name, position in layout.start.items():
            data.joint(joint_of(name)).qpos = position

    @property
    def timestep_s(self) -> float:
        """Time of one step of the physics."""
        return self._scene.physics.timestep_s

    @property
    def time_s(self) -> float:
        """Time since the reset."""
        return self._steps * self.timestep_s

    def set_targets(self, positions: NDArray[np.float64]) -> None:
        """Command the robot; the command stays in force until the next one.

        Args:
            positions: (D,) In ``robot.command_names`` order.

        Raises:
            ConfigError: The shape is wrong, or a value is not finite.
        """
        expected = (len(self._actuators),)
        if positions.shape != expected or not np.isfinite(positions).all():
            raise ConfigError(
                f"targets must be {expected} finite numbers, found {positions.shape} {positions}"
            )
        self._data.ctrl[self._actuators] = positions

    def advance(self, time_s: float) -> None:
        """Step the physics until a moment; do nothing if it is past. Then judge."""
        steps = math.floor(time_s / self.timestep_s + 1e-6) - self._steps
        if steps > 0:
            mujoco.mj_step(self._model, self._data, steps)
            self._steps += steps
            self._look()

    def _look(self) -> None:
        """Bring what is derived from the state up to date with it, and judge it."""
        mujoco.mj_forward(self._model, self._data)
        hand = self._scene.hand
        opening = float(self._data.joint(joint_of(hand.interface)).qpos[0])
        self._judge.update(self.time_s, self._cubes(), hand_open=opening > hand.released_above)

    def _cubes(self) -> dict[str, CubeState]:
        contact = self._data.contact
        touching = contact.geom[contact.dist <= 0.0] if len(contact.dist) else np.empty((0, 2), int)
        cubes = {}
        for name, geom in self._cube_geoms.items():
            rows = touching[(touching == geom).any(axis=1)]
            partners = rows[rows != geom]
            position, velocity = self.cube_pose(name)[0], self._data.joint(cube_body(name)).qvel
            cubes[name] = CubeState(
                position_m=tuple(position.tolist()),
                speed_m_s=float(np.linalg.norm(velocity[:3])),
                on_plate=bool((partners == self._plate_geom).any()),
                held=bool(self._hand_geoms[partners].any()),
            )
        return cubes

    def task_state(self) -> TaskState:
        """The judge's word on the present moment."""
        return self._judge.state

    def state(self, interfaces: tuple[str, ...]) -> NDArray[np.float64]:
        """(D,) What is measured: positions, velocities or efforts of joints.

        Args:
            interfaces: Such as ``<joint>/position``, ``<joint>/velocity``, ``<joint>/effort``.

        Raises:
            ConfigError: A joint or quantity does not exist.
        """
        return np.array([self._measured(interface) for interface in interfaces])

    def _measured(self, interface: str) -> float:
        joint, _, quantity = interface.rpartition("/")
        sources = {"position": "qpos", "velocity": "qvel", "effort": "qfrc_actuator"}
        if quantity not in sources:
            raise ConfigError(f"{interface!r} must end in one of {', '.join(sources)}")
        try:
            return float(getattr(self._data.joint(joint), sources[quantity])[0])
        except KeyError as error:
            raise ConfigError(f"{interface!r} is of no joint of {self._robot.name}") from error

    def render(self, camera: str, posture: NDArray[np.float64] | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) What a camera of the robot sees, now or when all stood in a ``posture``."""
        if posture is None:
            return self._renderer.render(self._data, self._cameras[camera])
        self._past.qpos[:] = posture
        mujoco.mj_kinematics(self._model, self._past)
        mujoco.mj_camlight(self._model, self._past)
        return self._renderer.render(self._past, self._cameras[camera])

    def posture(self) -> NDArray[np.float64]:
        """Where everything stands now, for ``render`` at a later time; until the next reset."""
        posture: NDArray[np.float64] = self._data.qpos.copy()
        return posture

    def cube_pose(self, cube: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(3,) Position and (4,) quaternion, w first, of a cube; for tests and films, no policy."""
        pose = self._data.joint(cube_body(cube)).qpos
        return pose[:3].copy(), pose[3:].copy()

    def place_cube(self, cube: str, position_m: tuple[float, float, float]) -> None:
        """Put a cube somewhere, upright and at rest; for tests."""
        joint = self._data.joint(cube_body(cube))
        joint.qpos = [*position_m, 1.0, 0.0, 0.0, 0.0]
        joint.qvel = 0.0
        mujoco.mj_forward(self._model, self._data)

    def plate_xy_m(self) -> NDArray[np.float64]:
        """(2,) Where the plate is; for tests and films, no policy."""
        position: NDArray[np.float64] = self._model.body(PLATE).pos[:2].copy()
        return position
