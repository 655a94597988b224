# SPDX-License-Identifier: Apache-2.0
"""Ways to reach a policy. One module is one backend; the module's name is the backend's name.

A backend's module has exactly one class called ``Backend``, a ``PolicyBackend``. Its heavy imports
stand at its top, and are made only when somebody chooses it.
"""
