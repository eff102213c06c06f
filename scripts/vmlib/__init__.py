# SPDX-License-Identifier: GPL-2.0
"""Virtual machines that run one command: what scripts/vm is made of."""
