# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for one test: nodes under test, and a peer that talks to them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

_FIRST_PORT = 29_300
_DOMAINS = range(1, 100)


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain id that no other test on this machine has now; a bound port says so."""
    start = os.getpid() % len(_DOMAINS)
    for domain in (*_DOMAINS[start:], *_DOMAINS[:start]):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as claim:
            try:
                claim.bind(("127.0.0.1", _FIRST_PORT + domain))
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("every ROS domain is taken by another test")


class Domain:
    """One ROS context with one executor that spins all of its nodes.

    Attributes:
        context: The context; nodes under test are created in it.
        peer: A node that talks to them.
    """

    def __init__(self, domain_id: int) -> None:
        self.id = domain_id
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.peer = Node("peer", context=self.context)
        self._nodes = [self.peer]
        self.executor.add_node(self.peer)

    def add(self, make: Callable[..., Any], **parameters: Any) -> Any:
        """Create a node under test, with parameters."""
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = make(context=self.context, parameter_overrides=overrides)
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def spin_until(
        self, condition: Callable[[], Any], what: str = "the condition", timeout_s: float = 8.0
    ) -> Any:
        """Spin until something is true, and return it; fail if it does not come."""
        end = time.monotonic() + timeout_s
        while not (result := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come within {timeout_s} s")
            self.executor.spin_once(timeout_sec=0.02)
        return result

    def spin_for(self, duration_s: float) -> None:
        """Spin for a time in which something must not happen."""
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.01)

    def collect(self, message: type, topic: str, qos: QoSProfile) -> list[Any]:
        """Subscribe; the list fills with what comes, once the topic's publisher is there."""
        received: list[Any] = []
        self.peer.create_subscription(message, topic, received.append, qos)
        self.spin_until(lambda: self.peer.count_publishers(topic), f"publisher of {topic}")
        return received

    def publisher(self, message: type, topic: str, qos: QoSProfile) -> Publisher:
        """A publisher, once somebody subscribes to the topic."""
        publisher = self.peer.create_publisher(message, topic, qos)
        self.spin_until(publisher.get_subscription_count, f"subscriber of {topic}")
        return publisher

    def call(self, service: type, name: str, request: Any) -> Any:
        """Call a service and return its response."""
        client = self.peer.create_client(service, name)
        self.spin_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.spin_until(future.done, f"answer of {name}")
        self.peer.destroy_client(client)
        return future.result()

    def set_parameter(self, node: str, name: str, value: Any) -> SetParametersResult:
        """What ``ros2 param set`` does."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, f"/{node}/set_parameters", request).results[0]

    def get_parameter(self, node: str, name: str) -> Any:
        """What ``ros2 param get`` does."""
        request = GetParameters.Request(names=[name])
        value = self.call(GetParameters, f"/{node}/get_parameters", request).values[0]
        return rclpy.parameter.parameter_value_to_python(value)

    def describe_parameter(self, node: str, name: str) -> Any:
        """What ``ros2 param describe`` does."""
        request = DescribeParameters.Request(names=[name])
        return self.call(DescribeParameters, f"/{node}/describe_parameters", request).descriptors[0]

    def close(self) -> None:
        """Tear everything down."""
        for node in reversed(self._nodes):
            if hasattr(node, "tear_down"):
                node.tear_down()
            node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)
