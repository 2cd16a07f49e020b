"""`traintop analyze --init`."""
from pathlib import Path
def write_target(folder: Path, out: Path | None) -> int:
    raise NotImplementedError
