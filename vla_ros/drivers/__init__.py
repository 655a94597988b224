# SPDX-License-Identifier: Apache-2.0
"""What talks to hardware: ports, cameras. No ROS here; the nodes publish what drivers read.

A driver says ``DeviceError`` when its device is gone or is not what it should be, and can be asked
again. A blocked device blocks the thread that reads it and nobody else.
"""
