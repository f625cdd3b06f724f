# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of Calico, as tables, and the codecs of its bytes."""
