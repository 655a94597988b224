# SPDX-License-Identifier: Apache-2.0
"""Bytes to core values and back. Sans-I/O: nothing here opens a socket, a file or a thread."""
