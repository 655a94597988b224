# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

import pytest

from vla_ros.backends.gr00t_zmq import Gr00tConfig
from vla_ros.backends.hold import HoldConfig
from vla_ros.backends.replay import ReplayConfig
from vla_ros.core.errors import ConfigError
from vla_ros.serving.policy_options import add_policy_options, make_backend, parse_options


def made(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    return parser.parse_args(["--robot", "so101_sim", "--policy", "so101_gr00t", *arguments])


def test_a_backend_is_made_as_it_is_told():
    backend = make_backend(made("--backend-option", "port=6000"))
    assert (type(backend).__module__, backend.config.port) == ("vla_ros.backends.gr00t_zmq", 6000)
    assert make_backend(made("--backend", "hold")).policy.name == backend.policy.name


def test_a_policy_that_does_not_fit_the_robot_is_refused():
    with pytest.raises(ConfigError, match="is not in robot"):
        make_backend(made("--robot", "g1_inspire"))


def test_options_are_read_as_their_parameter_wants():
    given = ["host=127.0.0.2", "port=5556", "timeout_s=1", "api_token=12 = 12"]
    assert parse_options(Gr00tConfig, given) == {
        "host": "127.0.0.2", "port": 5556, "timeout_s": 1, "api_token": "12 = 12",
    }  # fmt: skip
    assert parse_options(ReplayConfig, ["recording=a=b.npz"]) == {"recording": "a=b.npz"}
    assert parse_options(HoldConfig, []) == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["port"], "'port': must be NAME=VALUE"),
        (["port=1", "port=2"], "'port=2': must be NAME=VALUE, and each name stand once"),
        (["port=[1"], r"'port=\[1': is not YAML"),
    ],
)
def test_options_that_cannot_be_read_are_named(given: list[str], text: str):
    with pytest.raises(ConfigError, match=text):
        parse_options(Gr00tConfig, given)
