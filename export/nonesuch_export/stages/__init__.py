"""The Python models that a model repository carries: the exporter copies these files.

They run inside Triton, know nothing of nonesuch, and import numpy, Pillow and simplejpeg at most.
"""
