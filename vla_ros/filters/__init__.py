# SPDX-License-Identifier: Apache-2.0
"""What commands may pass before the limits. One module is one filter, and named like it.

A filter's module has a function ``make`` that makes a ``vla_ros.core.filter.Filter`` for a robot.
Its heavy imports stand at its top, and are made only when somebody chooses it. Filters are pure:
no clock, no thread, no I/O. Radians or metres, seconds.
"""
