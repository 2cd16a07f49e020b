"""Screens: which widgets stand where, and what their keys do."""
