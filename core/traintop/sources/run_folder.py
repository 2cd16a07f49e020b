"""The folder of the run that a file of metrics is of, where there is more of that run in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traintop.sources import trainer_state
from traintop.sources.file_names import holds_records, is_log

if TYPE_CHECKING:
    from pathlib import Path

FILES_OF_A_RUN = frozenset(
    {
        *("metrics.csv", "hparams.yaml"),  # Lightning
        *("metrics.json", "log.txt", "config.yaml"),  # Detectron2, and DINO and its kin
        *("results.csv", "args.yaml"),  # ultralytics
        *("progress.csv", "progress.json", "progress.txt", "monitor.csv", "config.json"),  # RL
        *("stats.jsonl", "training_options.json"),  # StyleGAN
        *("trainer_log.jsonl", trainer_state.NAME),  # LLaMA-Factory
    }
)
"""What frameworks call the files that they write into the folder of one run."""

EVENT_FOLDERS = ("runs", "logs")
"""Where the Hugging Face Trainer keeps its event files, in its output folder."""


def whole_run(path: Path, below: Path) -> Path:
    """Return the folder of the run that a path is of, or the path itself.

    So a console log beside a table is shown with it, with the traceback that may be in it. A folder
    of logs with different names may be of many runs, and then the file alone is meant.

    Args:
        path: A file of metrics, or a tracker's folder.
        below: The folder is this one or in it.
    """
    if path.name == trainer_state.NAME:
        folder = trainer_state.output_folder(path)
    elif path.parent.name in EVENT_FOLDERS and trainer_state.states(path.parent.parent):
        folder = path.parent.parent
    elif path.is_file() and _is_of_one_run(path):
        folder = path.parent
    else:
        return path
    return folder if folder.is_relative_to(below) else path


def _is_of_one_run(path: Path) -> bool:
    """Whether all files beside a file are of its run, by their names."""
    try:
        names = {beside.name for beside in path.parent.iterdir()}
    except OSError:
        return False
    if path.name in FILES_OF_A_RUN:
        return len(names & FILES_OF_A_RUN) > 1
    told = {name for name in names if holds_records(name) or is_log(name)} | {path.name}
    return len(told) > 1 and len({name.partition(".")[0] for name in told}) == 1
