# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter

from test.ros.harness import Domain
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, param
from vla_ros.ros.parameters import NodeParameters, ParameterGroup


@dataclass(frozen=True, slots=True)
class Tuning:
    """Parameters of all kinds."""

    file: str = param(REQUIRED, "A file.", read_only=True)
    rate_hz: float = param(50.0, "A rate [Hz].", ge=1.0, le=100.0)
    least_s: float = param(0.5, "A duration [s].", ge=0.0)
    count: int = param(3, "A count.", ge=1, le=9)
    many: int = param(0, "No more than enough.", le=5)
    anything: float = param(0.0, "Any number.")
    mode: Literal["fast", "slow"] = param("fast", "A choice.")
    flag: bool = param(False, "A flag.")
    names: tuple[str, ...] = param((), "A list of names.")

    def __post_init__(self) -> None:
        if self.least_s * self.rate_hz > 1000.0:
            raise ConfigError("least_s * rate_hz must be at most 1000")


class TunedNode(Node):
    """A node with these parameters, under a prefix too."""

    def __init__(self, **kwargs) -> None:
        super().__init__("tuned", **kwargs)
        self.parameters = NodeParameters(self)


@pytest.fixture
def group(domain: Domain) -> ParameterGroup[Tuning]:
    return domain.add(TunedNode, file="a.yaml").parameters.declare(Tuning)


def test_defaults_and_given_values_make_the_instance(domain: Domain):
    node = domain.add(TunedNode, **{"file": "a.yaml", "p.file": "b", "p.names": ["x", "y"]})

    assert node.parameters.declare(Tuning).value == Tuning(file="a.yaml")
    assert node.parameters.declare(Tuning, prefix="p.").value == Tuning(file="b", names=("x", "y"))


def test_an_integer_given_at_start_is_taken_for_a_double(domain: Domain):
    node = domain.add(TunedNode, file="a", rate_hz=20)

    assert node.parameters.declare(Tuning).value.rate_hz == 20.0
    assert node.get_parameter("rate_hz").type_ == Parameter.Type.DOUBLE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "tuned: parameter 'file' is required"),
        ({"file": "a", "rate_hz": "fast"}, "'rate_hz' must be .*, found str 'fast'"),
        ({"file": "a", "rate_hz": 1000.0}, r"'rate_hz' must be in \[1, 100\], found 1000"),
        ({"file": "a", "mode": "medium"}, "'mode' must be one of fast, slow; found 'medium'"),
        ({"file": "a", "names": [1, 2]}, "'names' must .*strings"),
        ({"file": "a", "rate_hz": 100.0, "least_s": 11.0}, r"least_s \* rate_hz must be at most"),
    ],
)
def test_a_bad_start_is_refused_with_the_reason(domain: Domain, given, message):
    node = domain.add(TunedNode, **given)

    with pytest.raises(ConfigError, match=message):
        node.parameters.declare(Tuning)


def test_a_bad_start_can_be_mended_and_tried_again(domain: Domain):
    node = domain.add(TunedNode)
    with pytest.raises(ConfigError):
        node.parameters.declare(Tuning)

    assert domain.set_parameter("tuned", "file", "late.yaml").successful
    assert node.parameters.declare(Tuning).value.file == "late.yaml"


def test_a_change_reaches_the_listener_until_it_is_removed(domain: Domain, group):
    heard: list[Tuning] = []
    remove = group.listen(heard.append)

    assert domain.set_parameter("tuned", "mode", "slow").successful
    assert heard == [Tuning(file="a.yaml", mode="slow")] == [group.value]

    remove()
    assert domain.set_parameter("tuned", "mode", "fast").successful
    assert len(heard) == 1
    assert group.value.mode == "fast"


def test_an_integer_is_taken_for_a_double(domain: Domain, group):
    assert domain.set_parameter("tuned", "rate_hz", 1).successful
    assert domain.get_parameter("tuned", "rate_hz") == 1.0
    assert group.value.rate_hz == 1.0
    assert isinstance(group.value.rate_hz, float)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rate_hz", 0.5, "out of range"),
        ("rate_hz", float("nan"), "out of range"),
        ("rate_hz", "fast", "Wrong parameter type"),
        ("count", 10, "out of range"),
        ("many", 6, "out of range"),
        ("anything", float("nan"), "anything"),
        ("mode", "medium", "must be one of fast, slow; found 'medium'"),
        ("least_s", 1e6, "least_s * rate_hz must be at most 1000"),
        ("file", "b.yaml", "read-only"),
    ],
)
def test_a_bad_change_is_refused_and_nothing_moves(domain: Domain, group, name, value, reason):
    heard: list[Tuning] = []
    group.listen(heard.append)
    before = domain.get_parameter("tuned", name)

    result = domain.set_parameter("tuned", name, value)

    assert not result.successful
    assert reason in result.reason
    assert domain.get_parameter("tuned", name) == before
    assert heard == []
    assert group.value == Tuning(file="a.yaml")


def test_an_empty_list_stays_a_list_of_strings(domain: Domain, group):
    assert domain.describe_parameter("tuned", "names").type == ParameterType.PARAMETER_STRING_ARRAY
    assert domain.set_parameter("tuned", "names", ["x"]).successful
    assert group.value.names == ("x",)


def test_parameters_are_described(domain: Domain, group):
    rate = domain.describe_parameter("tuned", "rate_hz")
    mode = domain.describe_parameter("tuned", "mode")
    many = domain.describe_parameter("tuned", "many")

    assert rate.description == "A rate [Hz]."
    assert not rate.dynamic_typing
    assert rate.floating_point_range[0].from_value == 1.0
    assert rate.floating_point_range[0].to_value == 100.0
    assert mode.additional_constraints == "One of: fast, slow"
    assert many.integer_range[0].from_value == -(2**63)
    assert many.integer_range[0].to_value == 5
    assert domain.describe_parameter("tuned", "file").read_only


def test_declaring_again_gives_the_same_group(domain: Domain):
    parameters = domain.add(TunedNode, file="a.yaml").parameters

    assert parameters.declare(Tuning) is parameters.declare(Tuning)


class OldNode:
    """A node whose rclpy has no callbacks before and after a change, as on Humble."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str):
        if name in ("add_pre_set_parameters_callback", "add_post_set_parameters_callback"):
            raise AttributeError(name)
        return getattr(self._node, name)


def test_without_callbacks_before_and_after_an_integer_is_still_taken_for_a_double(domain: Domain):
    def make(**kwargs) -> Node:
        return Node("old", **kwargs)

    group = NodeParameters(OldNode(domain.add(make, file="a"))).declare(Tuning)
    heard: list[Tuning] = []
    group.listen(heard.append)

    assert domain.set_parameter("old", "rate_hz", 7).successful
    assert heard == [Tuning(file="a", rate_hz=7.0)]
    assert isinstance(group.value.rate_hz, float)
    assert not domain.set_parameter("old", "rate_hz", 1000).successful
    assert domain.set_parameter("old", "rate_hz", 8.5).successful
    assert group.value.rate_hz == 8.5


def test_a_change_must_suit_whoever_uses_it(domain: Domain):
    node = domain.add(TunedNode, file="a.yaml")
    group = node.parameters.declare(Tuning)

    def no_slowness(value: Tuning) -> None:
        if value.mode == "slow":
            raise ConfigError("slow does not fit this robot")

    undo = group.require(no_slowness)
    [refused] = node.set_parameters([Parameter("mode", value="slow")])
    assert (refused.successful, refused.reason) == (False, "slow does not fit this robot")
    assert group.value.mode == "fast"
    undo()
    [taken] = node.set_parameters([Parameter("mode", value="slow")])
    assert taken.successful
