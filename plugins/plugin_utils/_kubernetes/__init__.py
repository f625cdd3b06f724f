# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control through Kubernetes decides, on plain data that was read from the API."""
