# SPDX-License-Identifier: Apache-2.0
"""An SO101 that follows a policy: arm, cameras, policy server and ring. Any thread."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.bringup.deployment import (
    Deployment,
    Node,
    ParameterValue,
    Program,
    policy_server,
    ring,
    server_parameters,
)
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

_SCRIPTED = "scripted_pick_and_place"
# Backends behind a server, and the protocol in which our own server rehearses each.
_PROTOCOLS = {
    "gr00t_http": "gr00t_http",
    "gr00t_zmq": "gr00t",
    "lerobot_grpc": "lerobot",
    "openpi_websocket": "openpi",
}
# ACT's clients cannot say an instruction, which the scripted policy needs.
_REMOTE = (*_PROTOCOLS, "act_zmq")
_DRIVERS = ("so101_driver", "ros2_control")


@dataclass(frozen=True, slots=True)
class So101Async:
    """What can be chosen of this deployment; the launch file's arguments carry these names.

    Attributes:
        sim: Whether the robot is simulated.
        robot: The robot's name or description file; empty: the simulated one, or the real one.
        policy: The policy's name or description file; empty: the scripted one, in simulation.
        backend: How the policy is reached; empty: what its file says.
        server_address: ``HOST:PORT`` of a policy server that speaks the wire of the policy's
            backend, or several, separated by commas, where one takes over when another fails;
            empty: in simulation one that serves the scripted policy is started here, else the
            policy runs in the process.
        server_port: Port of the server that is started here.
        driver: What moves a real arm: ``so101_driver`` is started here, ``ros2_control`` is
            somebody's that runs already.
        port: The arm's serial port, for ``so101_driver``.
        calibration: LeRobot's calibration file of this arm, for ``so101_driver``.
        cameras: Cameras that are read here: ``NAME=DEVICE``, separated by spaces; the names are the
            robot's. Empty: their topics are somebody's.
        dry_run: Whether a real arm is left alone: torque stays off, and what would be commanded
            goes to ``dry_run/...``.
        latency_ms: How long the server that is started here delays its answers.
        latency_jitter_ms: By how much at most that delay varies.
        instruction: What to do, until the topic ``instruction`` says otherwise.
        seed: Seed of the simulated world.
        params_file: ROS parameters of the nodes; empty: the package's own.
        namespace: Where all names live.
    """

    sim: bool = True
    robot: str = ""
    policy: str = ""
    backend: str = ""
    server_address: str = ""
    server_port: int = 5555
    driver: str = "so101_driver"
    port: str = "/dev/ttyACM0"
    calibration: str = ""
    cameras: str = ""
    dry_run: bool = True
    latency_ms: float = 0.0
    latency_jitter_ms: float = 0.0
    instruction: str = ""
    seed: int = 0
    params_file: str = ""
    namespace: str = ""

    @property
    def robot_name(self) -> str:
        """The robot that is meant."""
        return self.robot or ("so101_sim" if self.sim else "so101")

    @property
    def policy_name(self) -> str:
        """The policy that is meant.

        Raises:
            ConfigError: A real arm has no default.
        """
        if not self.policy and not self.sim:
            raise ConfigError("policy must be given for a real arm: a name or a .yaml file")
        return self.policy or "so101_scripted"


def so101_async(chosen: So101Async) -> Deployment:
    """Arm, cameras, policy server and ring of an SO101, as far as they are wanted.

    Raises:
        ConfigError: A description file does not exist or is wrong, or the choices contradict each
            other.
    """
    params_file = config_file("nodes", chosen.params_file or "so101_async")
    robot = load_robot_spec(config_file("robots", chosen.robot_name))
    policy = load_policy_spec(config_file("policies", chosen.policy_name))
    backend = chosen.backend or policy.backend
    nodes = ring(
        robot=chosen.robot_name,
        policy=chosen.policy_name,
        params_files=(params_file,),
        backend=_reached(chosen, backend, policy),
        instruction=chosen.instruction,
        namespace=chosen.namespace,
        dry_run=chosen.dry_run and not chosen.sim,
    )
    body: list[Node] = []
    programs: tuple[Program, ...] = ()
    if chosen.sim:
        facts: dict[str, ParameterValue] = {"robot": chosen.robot_name, "seed": chosen.seed}
        body.append(Node("simulation", (params_file,), facts, namespace=chosen.namespace))
        if not chosen.server_address and backend in (*_PROTOCOLS, _SCRIPTED):
            programs = (
                policy_server(
                    robot=chosen.robot_name,
                    policy=chosen.policy_name,
                    port=chosen.server_port,
                    backend=_SCRIPTED,
                    protocol=_PROTOCOLS.get(backend, "gr00t"),
                    latency_ms=chosen.latency_ms,
                    latency_jitter_ms=chosen.latency_jitter_ms,
                ),
            )
    else:
        body += _driver(chosen)
    body += _cameras(chosen, robot)
    return Deployment(nodes=tuple(body), programs=programs) + nodes


def _driver(chosen: So101Async) -> list[Node]:
    if chosen.driver not in _DRIVERS:
        raise ConfigError(f"driver must be one of {', '.join(_DRIVERS)}, found {chosen.driver!r}")
    if chosen.driver == "ros2_control":
        return []
    if not chosen.calibration:
        raise ConfigError(
            "calibration must be given for a real arm: the .json file that LeRobot or"
            " calibrate_so101 wrote for it"
        )
    facts: dict[str, ParameterValue] = {
        "robot": chosen.robot_name,
        "port": chosen.port,
        "calibration": chosen.calibration,
        "dry_run": chosen.dry_run,
    }
    return [Node(chosen.driver, parameters=facts, namespace=chosen.namespace)]


def _cameras(chosen: So101Async, robot: RobotSpec) -> list[Node]:
    nodes = []
    for item in chosen.cameras.split():
        name, equals, device = item.partition("=")
        if not equals or not device or name not in robot.cameras:
            raise ConfigError(
                f"cameras must be NAME=DEVICE, separated by spaces, found {item!r}; robot"
                f" {robot.name} has {', '.join(robot.cameras) or 'no cameras'}"
            )
        camera = robot.cameras[name]
        if camera.transport != "compressed":
            raise ConfigError(
                f"camera {name} of robot {robot.name} must have transport compressed to be read"
                f" here, found {camera.transport}"
            )
        facts: dict[str, ParameterValue] = {
            "device": device,
            "width": camera.width,
            "height": camera.height,
            "frame_id": f"{name}_camera",
        }
        moved = (("image_raw/compressed", camera.topic),)
        nodes.append(
            Node(
                "usb_camera",
                parameters=facts,
                remappings=moved,
                namespace=chosen.namespace,
                called=f"{name}_camera",
            )
        )
    return nodes


def _reached(chosen: So101Async, backend: str, policy: PolicySpec) -> dict[str, ParameterValue]:
    """How the inference node reaches the policy."""
    if not chosen.server_address and backend not in (*_PROTOCOLS, _SCRIPTED):
        return {"backend": backend}
    if not chosen.server_address and not chosen.sim:
        raise ConfigError(
            f"server_address must be HOST:PORT of the server of policy {policy.name}"
            f" ({policy.source})"
        )
    address = chosen.server_address or f"127.0.0.1:{chosen.server_port}"
    return {
        "backend": backend if backend in _REMOTE else "gr00t_zmq",
        **server_parameters(address, where="server_address"),
    }
