"""Detectors: one file an ailment. Records in, findings out; no I/O, no clock, no torch."""
