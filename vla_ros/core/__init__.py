# SPDX-License-Identifier: Apache-2.0
"""The pure core: values, queues, limits and the executor.

Nothing here does I/O (reading a description file apart), knows a clock (time is an argument, in
integer nanoseconds) or starts a thread. Imports numpy and yaml only.
"""
