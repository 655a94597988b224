# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.ros.harness import Domain, own_domain


@pytest.fixture
def domain() -> Iterator[Domain]:
    """A ROS domain that this test has for itself."""
    with own_domain() as domain_id:
        made = Domain(domain_id)
        yield made
        made.close()
