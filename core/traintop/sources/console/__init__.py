"""Metrics that a program prints: series are found in lines of console text of any make."""
