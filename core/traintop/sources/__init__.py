"""Bytes in, records out: following files, one reader a format, finding the files of a run."""
