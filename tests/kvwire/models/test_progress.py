"""What a pull shows: lines in a pipe, bars on a terminal."""

import io

from rich.console import Console

from kvwire.models.progress import LineProgress, TerminalProgress


def test_a_pipe_gets_one_line_per_stage():
    """Label and size, once; no carriage returns."""
    out = io.StringIO()
    with LineProgress(out).stage("downloading tiny", 2_000_000) as arrived:
        arrived(1_000_000)
    assert out.getvalue() == "downloading tiny (2.0 MB)\n"


def test_a_terminal_gets_a_bar_that_ends_full():
    """The bar counts bytes and stands at the total when the stage is over."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with TerminalProgress(console).stage("downloading tiny", 2_000_000) as arrived:
        arrived(1_000_000)
    assert "2.0/2.0 MB" in out.getvalue()


def test_a_stage_that_cannot_be_counted_is_still_named():
    """Conversion has no size; its label stays on the screen."""
    out = io.StringIO()
    with TerminalProgress(Console(file=out, force_terminal=True, width=100)).stage("converting tiny"):
        pass
    assert out.getvalue().rstrip().endswith("converting tiny")
