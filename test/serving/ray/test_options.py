# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import yaml

from test.core.refusals import refused
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.serving.ray.options import PolicyChoice, read_options

ONE: dict[str, Any] = {"policies": {"so101_scripted": {"robot": "so101_sim"}}}


def test_a_policy_has_its_name_from_its_key_unless_it_says_otherwise() -> None:
    given = {
        "so101_scripted": {"robot": "so101_sim"},
        "held": {
            "robot": "so101_sim",
            "policy": "so101_gr00t",
            "backend": "hold",
        },
    }
    options = read_options({"policies": given, "max_policies": 2, "batch_wait_ms": 3})

    assert list(options.policies) == ["so101_scripted", "held"]
    assert options.policies["so101_scripted"].policy == "so101_scripted"
    held = options.policies["held"]
    assert held.spec().name == "so101_gr00t"
    assert type(held.make()).__module__ == "vla_ros.backends.hold"
    assert (options.settings.max_policies, options.settings.batch_wait_ms) == (2, 3.0)
    assert options.settings.max_batch == 8


def test_a_backend_is_told_its_options() -> None:
    choice = PolicyChoice(
        "so101_sim", "so101_scripted", backend_options=("task=so101_pick_and_place",)
    )
    made = choice.make()
    assert made.config.task == "so101_pick_and_place"
    assert made.policy.name == choice.spec().name


def test_the_example_can_be_read() -> None:
    text = config_file("ray", "so101_scripted").read_text("utf-8")
    [application] = yaml.safe_load(text)["applications"]

    options = read_options(application["args"])

    assert [choice.make().per_client for choice in options.policies.values()] == [True]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "policies must map at least one name to a policy, found None"),
        ({"policies": {}}, "policies must map at least one name"),
        ({"policies": ["so101_scripted"]}, "found ['so101_scripted']"),
        ({"policies": {"a/b": {}}}, "a name must be text without a slash, found 'a/b'"),
        ({"policies": {"": {}}}, "a name must be text without a slash, found ''"),
        ({"policies": {1: {}}}, "a name must be text without a slash, found 1"),
        ({"policies": {"a": None}}, "args: policies: a must be a map, found None"),
        ({"policies": {"a": {}}}, "args: policies: a: parameter 'robot' is required"),
        ({"policies": {"a": {"robot": "x", "gpu": 1}}}, "unknown parameter 'gpu'"),
        ({**ONE, "max_batch": 0}, "args: parameter 'max_batch' must be in [1, 64], found 0"),
        ({**ONE, "replicas": 2}, "args: unknown parameter 'replicas'"),
    ],
)
def test_what_is_wrong_is_named(args: dict[str, Any], words: str) -> None:
    with refused(ConfigError, words):
        read_options(args)


def test_what_does_not_exist_is_refused_by_who_needs_it() -> None:
    [choice] = read_options({"policies": {"nobody": {"robot": "so101_sim"}}}).policies.values()
    with refused(ConfigError, "policies: 'nobody' is not known"):
        choice.make()
    with refused(ConfigError, "policies: 'nobody' is not known"):
        choice.spec()
