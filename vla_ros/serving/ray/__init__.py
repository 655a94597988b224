# SPDX-License-Identifier: Apache-2.0
"""The policy server as a Ray Serve application."""
