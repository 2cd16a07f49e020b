"""The one table of actions: bindings, footer, help, palette and the user's keymap all read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Where = Literal[
    "everywhere", "replay", "charts", "overview", "layers", "findings", "log", "analyses"
]


class Action(NamedTuple):
    """Something that a key does."""

    id: str
    """Stable: what a keymap in the settings names, and the method `action_<id>`."""
    keys: str
    """Textual key names, separated by commas."""
    label: str
    """One or two words for the footer."""
    help: str
    where: Where
    footer: bool = False
    """Whether the footer has room for it."""
    short: str = ""
    """The label on a narrow terminal, if another."""


ACTIONS: tuple[Action, ...] = (
    Action("show_overview", "1", "Overview", "Curves, findings and log of the run", "everywhere"),
    Action("show_layers", "2", "Layers", "Gradients and activations layer by layer", "everywhere"),
    Action(
        "show_findings",
        "3",
        "Findings",
        "What is wrong, since when, on what evidence",
        "everywhere",
    ),
    Action("show_log", "4", "Log", "The text log, linked with the charts by step", "everywhere"),
    Action(
        "show_analyses",
        "5",
        "Analyses",
        "Jobs, results, checkpoints",
        "everywhere",
        short="Jobs",
    ),
    Action("help", "question_mark,f1", "Help", "This list", "everywhere", footer=True),
    Action("quit", "q", "Quit", "Leave; the training goes on", "everywhere", footer=True),
    Action(
        "lr_find",
        "L",
        "LR range test",
        "Run an LR range test on the newest checkpoint before the cursor",
        "everywhere",
        footer=True,
        short="LR test",
    ),
    Action(
        "dead_neurons",
        "D",
        "Dead neurons",
        "Count dead units of the newest checkpoint before the cursor",
        "everywhere",
        footer=True,
        short="Dead",
    ),
    Action(
        "analyze",
        "A",
        "Choose analysis",
        "Choose an analysis from a list that says which can run now, and run it",
        "everywhere",
    ),
    Action("next_run", "right_square_bracket", "Next run", "Go to the next run", "everywhere"),
    Action(
        "previous_run",
        "left_square_bracket",
        "Previous run",
        "Go to the previous run",
        "everywhere",
    ),
    Action(
        "replay",
        "T",
        "Replay",
        "Show the run as it was at a step and what would have been said then, or go back to now",
        "everywhere",
        footer=True,
    ),
    Action("next_theme", "t", "Theme", "Go to the next colour theme", "everywhere"),
    Action(
        "toggle_ascii",
        "u",
        "ASCII",
        "Draw with ASCII characters only, or with braille dots",
        "everywhere",
    ),
    Action(
        "command_palette",
        "ctrl+p,colon",
        "Palette",
        "Find any action by its name",
        "everywhere",
        footer=True,
    ),
    Action("replay_play", "space", "Play", "Let the run go on by itself, or stop", "replay"),
    Action("replay_back", "left", "Back", "Go back by a hundredth of the window", "replay"),
    Action("replay_on", "right", "On", "Go on by a hundredth of the window", "replay"),
    Action(
        "replay_back_fast", "shift+left", "Far back", "Go back by a tenth of the window", "replay"
    ),
    Action("replay_on_fast", "shift+right", "Far on", "Go on by a tenth of the window", "replay"),
    Action("replay_record_back", "comma", "Record back", "Go back by one record", "replay"),
    Action("replay_record_on", "full_stop", "Record on", "Go on by one record", "replay"),
    Action("replay_first", "home", "First step", "Go to the first step", "replay"),
    Action("replay_last", "end", "Last step", "Go to the newest step", "replay"),
    Action(
        "replay_next_finding",
        "n",
        "Next finding",
        "Go to the step at which the next finding was seen",
        "replay",
    ),
    Action(
        "replay_previous_finding",
        "N",
        "Previous finding",
        "Go to the step at which the previous finding was seen",
        "replay",
    ),
    Action("replay_go_to", "percent_sign", "Go to", "Type a step, or a share as 40%", "replay"),
    Action("replay_faster", "right_curly_bracket", "Faster", "Play twice as fast", "replay"),
    Action("replay_slower", "left_curly_bracket", "Slower", "Play half as fast", "replay"),
    Action("replay_leave", "escape", "Leave", "Go back to the present", "replay"),
    Action("cursor_left", "left,h", "Cursor left", "Move the step cursor left", "charts"),
    Action("cursor_right", "right,l", "Cursor right", "Move the step cursor right", "charts"),
    Action(
        "cursor_left_fast",
        "shift+left,H",
        "Cursor far left",
        "Move the step cursor left by a tenth of the window",
        "charts",
    ),
    Action(
        "cursor_right_fast",
        "shift+right",
        "Cursor far right",
        "Move the step cursor right by a tenth of the window",
        "charts",
    ),
    Action(
        "cursor_off",
        "escape",
        "Cursor off",
        "Hide the step cursor and read the newest values",
        "charts",
    ),
    Action(
        "zoom_in",
        "plus,equals_sign,i",
        "Zoom in",
        "Halve the window of steps around the cursor",
        "charts",
        footer=True,
        short="Zoom",
    ),
    Action(
        "zoom_out",
        "minus,o",
        "Zoom out",
        "Double the window of steps",
        "charts",
        footer=True,
        short="Out",
    ),
    Action(
        "zoom_reset",
        "0,z",
        "Whole run",
        "Show the whole run",
        "charts",
        footer=True,
        short="All",
    ),
    Action(
        "pan_left", "less_than_sign,comma", "Pan left", "Move the window a quarter back", "charts"
    ),
    Action(
        "pan_right",
        "greater_than_sign,full_stop",
        "Pan right",
        "Move the window a quarter on",
        "charts",
    ),
    Action("follow", "f", "Follow", "Go to the newest step and follow it", "charts"),
    Action(
        "toggle_log_y",
        "y",
        "Log y",
        "Logarithmic or linear y axes",
        "charts",
        footer=True,
    ),
    Action(
        "cycle_axis",
        "x",
        "X axis",
        "X axis by step, epoch or time",
        "charts",
        footer=True,
    ),
    Action(
        "more_smoothing",
        "s",
        "Smoother",
        "Smooth the curves more; the raw curve stays visible",
        "charts",
    ),
    Action("less_smoothing", "S", "Rougher", "Smooth the curves less", "charts"),
    Action(
        "next_finding", "n", "Next finding", "Put the cursor where the next finding began", "charts"
    ),
    Action(
        "previous_finding",
        "N",
        "Previous finding",
        "Put the cursor where the previous finding began",
        "charts",
    ),
    Action(
        "next_nonfinite",
        "exclamation_mark",
        "Next NaN",
        "Put the cursor on the next NaN or infinite value",
        "charts",
    ),
    Action(
        "choose_series",
        "slash",
        "Choose curves",
        "Search all series and choose what is drawn",
        "overview",
        footer=True,
        short="Curves",
    ),
    Action(
        "next_panel",
        "tab",
        "Next panel",
        "Go to the next chart; its keys are about that one",
        "overview",
    ),
    Action("maximize_panel", "enter", "Enlarge", "Enlarge the chart, or put it back", "overview"),
    Action("log_at_cursor", "g", "Log here", "Show the log at the step of the cursor", "charts"),
    Action(
        "cycle_statistic",
        "m",
        "Statistic",
        "Show the next statistic: gradient norm, update ratio, dead share ...",
        "layers",
        footer=True,
        short="Stat",
    ),
    Action(
        "cycle_sort",
        "r",
        "Sort",
        "Sort the layers by depth, newest value or change",
        "layers",
        footer=True,
    ),
    Action("layer_down", "down,j", "Layer down", "Select the next layer", "layers"),
    Action("layer_up", "up,k", "Layer up", "Select the previous layer", "layers"),
    Action(
        "open_layer",
        "enter",
        "Open layer",
        "Show the curves and the histogram of the layer, or go back",
        "layers",
        footer=True,
        short="Open",
    ),
    Action("finding_down", "down,j", "Finding down", "Select the next finding", "findings"),
    Action("finding_up", "up,k", "Finding up", "Select the previous finding", "findings"),
    Action(
        "start_test",
        "enter",
        "Start test",
        "Start the next test that the finding names",
        "findings",
        footer=True,
        short="Test",
    ),
    Action(
        "detail_down", "pagedown,space", "Read on", "Scroll the text of the finding", "findings"
    ),
    Action("detail_up", "pageup,b", "Read back", "Scroll the text of the finding back", "findings"),
    Action(
        "acknowledge",
        "a",
        "Acknowledge",
        "Mark the finding as seen, or unmark it",
        "findings",
        footer=True,
        short="Seen",
    ),
    Action(
        "mute",
        "M",
        "Mute",
        "Say no more of this rule on these layers, or unmute it; kept with the run",
        "findings",
        footer=True,
    ),
    Action("undo_triage", "U", "Undo", "Take back the last mute or acknowledgement", "findings"),
    Action(
        "open_finding_layer",
        "l",
        "Layer",
        "Show the curves of the layer that the finding names",
        "findings",
        footer=True,
    ),
    Action(
        "go_to_finding",
        "g",
        "Go there",
        "Put the cursor where the finding began, on the overview or on its layer",
        "findings",
        footer=True,
    ),
    Action("log_search", "slash", "Search", "Search the log", "log", footer=True),
    Action("log_filter", "ampersand", "Filter", "Show only lines that match", "log", footer=True),
    Action(
        "log_next_match",
        "n",
        "Next match",
        "Go to the next match; without a search to where the next finding began",
        "log",
    ),
    Action(
        "log_previous_match",
        "N",
        "Previous match",
        "Go to the previous match or finding",
        "log",
    ),
    Action("log_down", "down,j", "Line down", "Go one line down", "log"),
    Action("log_up", "up,k", "Line up", "Go one line up", "log"),
    Action("log_page_down", "pagedown,space", "Page down", "Go one page down", "log"),
    Action("log_page_up", "pageup,b", "Page up", "Go one page up", "log"),
    Action("log_top", "home,g", "Top", "Go to the oldest line", "log"),
    Action(
        "log_bottom",
        "end,G,f",
        "Bottom",
        "Go to the newest line and follow it",
        "log",
        footer=True,
        short="End",
    ),
    Action(
        "log_errors",
        "e",
        "Errors",
        "Show only warnings, errors and tracebacks, or all lines",
        "log",
    ),
    Action("toggle_fold", "o,right,left", "Fold", "Fold or unfold the traceback", "log"),
    Action(
        "cursor_to_line",
        "enter",
        "Cursor here",
        "Put the step cursor of the charts at this line's step",
        "log",
        footer=True,
        short="Cursor",
    ),
    Action("job_down", "down,j", "Down", "Select the next job or result", "analyses"),
    Action("job_up", "up,k", "Up", "Select the previous job or result", "analyses"),
    Action("result_down", "pagedown,space", "Read on", "Scroll the text of the result", "analyses"),
    Action("result_up", "pageup,b", "Read back", "Scroll the text of the result back", "analyses"),
    Action(
        "compare_job",
        "c",
        "Compare",
        "Mark the selected result, and then another, to see both side by side",
        "analyses",
        footer=True,
    ),
    Action("compare_off", "escape", "One", "Show only the selected result", "analyses"),
    Action(
        "export_result",
        "e",
        "Export",
        "Write the selected result as JSON, Markdown and SVG (PNG with cairosvg)",
        "analyses",
        footer=True,
    ),
    Action("cancel_job", "x", "Cancel", "Cancel the selected job", "analyses", footer=True),
)


def actions_for(*places: Where) -> list[Action]:
    """Return the actions of some places, in the order of the table."""
    return [action for action in ACTIONS if action.where in places]


def with_keymap(actions: Iterable[Action], keymap: Mapping[str, str]) -> list[Action]:
    """Return actions with the keys that a user has given them."""
    return [action._replace(keys=keymap.get(action.id, action.keys)) for action in actions]
