"""Engines: ONNX → what a server runs, one runtime a module.

A module has NAME, BACKEND, FILE, PRECISIONS and `Engine`, which loads a file and runs it.
"""

from nonesuch_export.engine import onnxruntime

ENGINES = {onnxruntime.NAME: onnxruntime}
