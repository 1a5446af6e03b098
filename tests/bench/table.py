"""What a row says, and the table of all rows."""

from dataclasses import dataclass
from typing import Optional

VERDICT = {True: "met", False: "MISSED", None: ""}


@dataclass
class Row:
    """One line of the table; times are in seconds."""

    work: str
    baseline: str
    # Both as they are shown.
    theirs: str
    ours: str
    figure: str
    limit: str
    # `None` for a row that is only reported.
    met: Optional[bool]

    def line(self) -> str:
        """Returns the row as one line of talk."""
        limit = self.limit if self.met is None else f"at most {self.limit}"
        return f"{self.work}: {self.figure or self.ours} ({limit}) {VERDICT[self.met]}".rstrip()


def show_time(value: float) -> str:
    """Returns a time as people read it."""
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def slower(work: str, baseline: str, theirs: float, ours: float, limit_ms: float) -> Row:
    """Judges by how many milliseconds more it takes than the baseline."""
    more = (ours - theirs) * 1000
    return Row(work, baseline, show_time(theirs), show_time(ours), f"{more:.1f} ms more", f"{limit_ms:g} ms more", more <= limit_ms)


def times(work: str, baseline: str, theirs: float, ours: float, limit: Optional[float]) -> Row:
    """Judges by how many times the baseline it takes; without a limit it is only reported."""
    ratio = ours / theirs
    shown = "reported" if limit is None else f"{limit:g} x"
    return Row(work, baseline, show_time(theirs), show_time(ours), f"{ratio:.2f} x", shown, None if limit is None else ratio <= limit)


def render(rows: list[Row]) -> str:
    """Returns the table as Markdown, its columns aligned."""
    head = ["work", "baseline", "takes", "sendoff", "", "at most", ""]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        lines.append([row.work, row.baseline, row.theirs, row.ours, row.figure, row.limit, VERDICT[row.met]])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    cells = (" | ".join(cell.ljust(width, "-" if cell == "---" else " ") for cell, width in zip(line, widths)) for line in lines)
    return "".join(f"| {line} |\n" for line in cells)
