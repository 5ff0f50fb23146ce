"""Coverage-guided fuzzing of what strangers can reach: the reader, the DICOM entry point and the web's.

``python -m fuzz reader -max_total_time=60`` searches for input that breaks what :mod:`fuzz.targets` promises, beginning
with seeds of the simulator (:mod:`fuzz.seeds`); it needs atheris. What it finds becomes a test in ``tests/fuzz``.
"""
