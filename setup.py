# SPDX-License-Identifier: Apache-2.0
"""Builds vla_ros as an ament_python package: modules, executables, configuration, launch files."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

NAME = "vla_ros"
SHARE = Path("share") / NAME


def shared_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Lists the files below the folders, each to be installed at its own path below share/."""
    found: dict[Path, list[str]] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.setdefault(path.parent, []).append(str(path))
    return [(str(SHARE / folder), files) for folder, files in found.items()]


setup(
    name=NAME,
    version="0.1.0",
    description="Runs vision-language-action policies on robots over ROS 2.",
    license="Apache-2.0",
    maintainer="vla_ros maintainers",
    maintainer_email="maintainers@vla-ros.invalid",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *shared_files("config", "launch"),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools"],
    # What rosdep has no key for.
    extras_require={
        "sim": ["mujoco"],
        "demo": ["av", "matplotlib"],
        "filters": ["ruckig"],
        "so101": ["rustypot"],
        "unitree": ["cyclonedds"],
        # For openpi's wire, on both sides. Ubuntu has older ones, without what is needed.
        "openpi": ["websockets>=13"],
        # For /metrics of the policy server.
        "metrics": ["prometheus_client"],
        # For the backend torch_module; onnxruntime-gpu in its place runs models on a GPU.
        "onnx": ["onnxruntime"],
        # For policy_server on many machines, vla_ros.serving.ray.app.
        "ray": ["ray[serve]>=2.60"],
        # Beside it come torch, draccus and safetensors, which are named because they are imported.
        "lerobot": ["lerobot>=0.4.4", "draccus", "safetensors", "torch"],
    },
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "aggregator = vla_ros.nodes.aggregator:main",
            "calibrate_so101 = vla_ros.drivers.calibrate_so101:main",
            "demo = vla_ros.bringup.demo:main",
            "episode_runner = vla_ros.nodes.episode_runner:main",
            "executor = vla_ros.nodes.executor:main",
            "image_stream_bridge = vla_ros.nodes.image_stream_bridge:main",
            "inference = vla_ros.nodes.inference:main",
            "policy_server = vla_ros.serving.policy_server:main",
            "probe_policy = vla_ros.serving.probe_policy:main",
            "queue_view = vla_ros.nodes.queue_view:main",
            "recording_source = vla_ros.nodes.recording_source:main",
            "rollout = vla_ros.sim.rollout:main",
            "simulation = vla_ros.nodes.simulation:main",
            "so101_driver = vla_ros.nodes.so101_driver:main",
            "unitree_bridge = vla_ros.nodes.unitree_bridge:main",
            "unitree_stand_in = vla_ros.sim.unitree_stand_in:main",
            "usb_camera = vla_ros.nodes.usb_camera:main",
        ]
    },
)
