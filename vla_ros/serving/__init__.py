# SPDX-License-Identifier: Apache-2.0
"""Serve any backend to robots: a service turns bytes into bytes, a front carries them."""
