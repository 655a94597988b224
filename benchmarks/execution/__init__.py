# SPDX-License-Identifier: Apache-2.0
"""How chunks are executed: every mode of ours beside models of others', on two worlds."""
