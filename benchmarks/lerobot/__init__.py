# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own client and our ring, one after the other, on the same server, arm and link."""
