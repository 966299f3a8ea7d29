"""Views that are written beside a run's tables: the comparison with the paper, transcripts,
passages."""

from __future__ import annotations

from emoexp.errors import one_line
from emoexp.store.record import SavedRun, save_tables
from emoexp.study.experiment import Bootstrap
from emoexp.views.agreement import compare_with_paper
from emoexp.views.passages import write_passages_page
from emoexp.views.transcripts import write_transcripts


def write_views(run: SavedRun, draws: Bootstrap) -> None:
    """Writes the views that a run has, and puts the comparison's numbers into its record.

    A view that fails is a note: it costs no result.
    """
    try:
        found = compare_with_paper(run, draws)
        run.record.comparison = found.metrics
        run.record.notes += found.notes
        save_tables(run.record, found.tables, run.directory)
    except ValueError as error:
        run.record.notes.append(f"not compared with the paper ({one_line(error)})")
    if "blackmail_counts" in run.names:
        write_transcripts(run)
    if "ranking" in run.names:
        write_passages_page(run)
