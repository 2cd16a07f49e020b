"""Logs, printed line by line as the programs print them that people train with."""
