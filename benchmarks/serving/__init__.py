# SPDX-License-Identifier: Apache-2.0
"""Many robots on one policy server; ``benchmarks/bench_serving.py`` runs it."""
