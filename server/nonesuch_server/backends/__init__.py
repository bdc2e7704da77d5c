"""Backends that the embedded server lacks, each a Python model under the native backend's name.

The server copies them; nothing here is imported. A repository that loads with them loads
unchanged in Triton's own container.
"""
