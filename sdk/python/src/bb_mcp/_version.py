# SPDX-License-Identifier: Apache-2.0

"""The version of the SDK; the only place where it is written."""

__version__ = "0.1.0"
