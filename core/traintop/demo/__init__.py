"""The demo: a small network that really learns to read digits, with a fault planted if asked.

`python -m traintop.demo DIR [--fault NAME]` trains it on the CPU at a pace that can be watched,
recorded by our own recorder.
"""
