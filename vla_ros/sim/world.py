# SPDX-License-Identifier: Apache-2.0
"""A simulated robot in a scene: targets in; joints, images and the judge's word out.

Deterministic: the same seed and targets give the same episode. A command stays in force until the
next one, as a position servo keeps it. One thread. Radians, metres, seconds of simulated time.
"""

from __future__ import annotations

import math

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.sim.judge import Judge, ObjectState, TaskState, named_object
from vla_ros.sim.layout import Layout, make_layout
from vla_ros.sim.model import LAMP, PLATE, build_model, object_body
from vla_ros.sim.render import RendererName, make_renderer
from vla_ros.sim.robot_model import joint_of
from vla_ros.sim.scene_spec import SceneSpec

# How long the objects and the robot settle before an episode begins.
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
        self._object_geoms = {
            name: self._model.geom(object_body(name)).id for name in scene.objects
        }
        self._plate_geom = self._model.geom(PLATE).id
        hand = [self._model.body(link).id for link in scene.hand.links]
        self._hand_geoms = np.isin(self._model.geom_bodyid, hand)
        self._steps = 0
        self._fixed = frozenset(scene.fixed_joints)
        self._layout = make_layout(scene, 0)
        self._judge = Judge(scene, self._layout.target, self._layout.plate_xy_m)
        self.instruction = ""

    def reset(self, seed: int, instruction: str | None = None) -> str:
        """Make the world anew; time starts at zero.

        Args:
            seed: Decides where everything lies and how it looks.
            instruction: What the robot shall do; drawn from the seed if None or empty.

        Returns:
            The instruction that now holds.

        Raises:
            ConfigError: The instruction names no object, or more than one; or the seed is negative.
        """
        layout = make_layout(self._scene, seed)
        wanted = instruction or self._scene.task.instruction.format(object=layout.target)
        target = named_object(wanted, self._scene.objects)
        mujoco.mj_resetData(self._model, self._data)
        self._layout = layout
        self._lay_out_objects()
        self._arrange(layout)
        self.set_targets(np.array([layout.start[name] for name in self._robot.command_names]))
        mujoco.mj_step(self._model, self._data, round(_SETTLE_S / self.timestep_s))
        self._data.time, self._steps = 0.0, 0
        self._judge = Judge(self._scene, target, layout.plate_xy_m)
        self.instruction = wanted
        self._look()
        return wanted

    def _lay_out_objects(self) -> None:
        for name, (x, y) in self._layout.object_xy_m.items():
            half_yaw = 0.5 * self._layout.object_yaw_rad[name]
            height_m = 0.5 * self._scene.objects[name].height_m
            turned = [math.cos(half_yaw), 0.0, 0.0, math.sin(half_yaw)]
            joint = self._data.joint(object_body(name))
            joint.qpos, joint.qvel = [x, y, height_m, *turned], 0.0

    def _arrange(self, layout: Layout) -> None:
        """Everything but the objects' places."""
        model, data = self._model, self._data
        for name, rgb in layout.object_rgb.items():
            model.geom(object_body(name)).rgba[:3] = rgb
        model.body(PLATE).pos[:2] = layout.plate_xy_m
        model.light(LAMP).pos[:] = layout.lamp_position_m
        model.light(LAMP).diffuse[:] = layout.lamp
        for name, position in layout.start.items():
            joint = joint_of(name)
            data.joint(joint).qpos = np.clip(position, *model.joint(joint).range)
        for bond in range(model.neq):
            follower, leader = (
                model.joint(int(side[bond])) for side in (model.eq_obj1id, model.eq_obj2id)
            )
            offset, multiplier = model.eq_data[bond, :2]
            data.qpos[follower.qposadr] = offset + multiplier * data.qpos[leader.qposadr]

    def put_objects_back(self) -> None:
        """Put all objects where they lay when the world was made; nothing else changes."""
        self._lay_out_objects()
        self._look()

    @property
    def objects(self) -> tuple[str, ...]:
        """The names of all objects."""
        return tuple(self._scene.objects)

    @property
    def base_m(self) -> tuple[float, ...]:
        """(3,) Where the robot's root stands."""
        return self._scene.base_m

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
        hand_open = all(
            low <= self._measured(interface) <= high
            for interface, (low, high) in self._scene.hand.open.items()
        )
        self._judge.update(self.time_s, self._objects(), hand_open=hand_open)

    def _objects(self) -> dict[str, ObjectState]:
        contact = self._data.contact
        touching = contact.geom[contact.dist <= 0.0] if len(contact.dist) else np.empty((0, 2), int)
        objects = {}
        for name, geom in self._object_geoms.items():
            rows = touching[(touching == geom).any(axis=1)]
            partners = rows[rows != geom]
            position, velocity = self.object_pose(name)[0], self._data.joint(object_body(name)).qvel
            objects[name] = ObjectState(
                position_m=tuple(position.tolist()),
                speed_m_s=float(np.linalg.norm(velocity[:3])),
                on_plate=bool((partners == self._plate_geom).any()),
                held=bool(self._hand_geoms[partners].any()),
            )
        return objects

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
        if joint in self._fixed:
            return 0.0
        try:
            return float(getattr(self._data.joint(joint), sources[quantity])[0])
        except KeyError as error:
            raise ConfigError(f"{interface!r} is of no joint of {self._robot.name}") from error

    def render(self, camera: str, posture: NDArray[np.float64] | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) What a camera of the robot sees, now or when all stood in a ``posture``."""
        data = self._data
        if posture is not None:
            data = self._past
            data.qpos[:] = posture
            mujoco.mj_kinematics(self._model, data)
            mujoco.mj_camlight(self._model, data)
        image = self._renderer.render(data, self._cameras[camera])
        if self._scene.render_scale == 1:
            return image
        size = self._robot.cameras[camera]
        enlarged = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
        return enlarged.astype(np.uint8, copy=False)

    def posture(self) -> NDArray[np.float64]:
        """Where everything stands now, for ``render`` at a later time; until the next reset."""
        posture: NDArray[np.float64] = self._data.qpos.copy()
        return posture

    def object_pose(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(3,) Position and (4,) quaternion, w first, of an object; no policy may ask."""
        pose = self._data.joint(object_body(name)).qpos
        return pose[:3].copy(), pose[3:].copy()

    def object_velocity(self, name: str) -> NDArray[np.float64]:
        """(6,) Linear [m/s] and angular [rad/s] velocity of an object; no policy may ask."""
        velocity: NDArray[np.float64] = self._data.joint(object_body(name)).qvel.copy()
        return velocity

    def place_object(self, name: str, position_m: tuple[float, float, float]) -> None:
        """Put an object somewhere, upright and at rest; for tests."""
        joint = self._data.joint(object_body(name))
        joint.qpos = [*position_m, 1.0, 0.0, 0.0, 0.0]
        joint.qvel = 0.0
        mujoco.mj_forward(self._model, self._data)

    def plate_xy_m(self) -> NDArray[np.float64]:
        """(2,) Where the plate is; for tests and films, no policy."""
        position: NDArray[np.float64] = self._model.body(PLATE).pos[:2].copy()
        return position
