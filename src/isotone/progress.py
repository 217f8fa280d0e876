"""Long work says where it is: bars in a terminal, one line per finished piece elsewhere, nothing when not asked."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, ClassVar, Self

from .errors import require


class Progress:
    """A stack of bars, one per piece of work; within another that is shown, part of its stack.

    Args:
        shown: False for silence.

    >>> with Progress(shown=False) as progress:
    ...     bar = progress.bar("training", total=3)
    ...     bar.update(3, "loss 0.1")
    """

    _outer: ClassVar[Any] = None  # the bars that are on the terminal now, of which there can be one stack only

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown
        self.live = shown and sys.stderr.isatty()
        self._bars: Any = None
        if self.live:
            rich = require("rich.progress", "train")
            console = require("rich.console", "train").Console(stderr=True)
            self._bars = rich.Progress(
                rich.TextColumn("{task.description}"),
                rich.BarColumn(bar_width=20),
                rich.TimeElapsedColumn(),
                rich.TextColumn("{task.fields[note]}", style="dim"),
                console=console,
            )

    def __enter__(self) -> Self:
        self._joins = Progress._outer is not None
        if self._bars is not None and self._joins:
            self._bars = Progress._outer
        elif self._bars is not None:
            self._bars.start()
            Progress._outer = self._bars
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None and not self._joins:
            self._bars.stop()
            Progress._outer = None

    def bar(self, title: str, total: int) -> Bar:
        """A new bar of so many steps."""
        task = self._bars.add_task(title, total=total, note="") if self._bars is not None else None
        return Bar(self, title, total, task)


class Bar:
    """One piece of work."""

    def __init__(self, progress: Progress, title: str, total: int, task: Any) -> None:
        self._progress, self._title, self._total, self._task = progress, title, total, task
        self._said, self._note = False, ""

    def update(self, done: int, note: str = "") -> None:
        """So many steps are done; the last note stays."""
        self._note = note = note or self._note
        if self._task is not None:
            self._progress._bars.update(self._task, completed=done, note=note)
        elif self._progress.shown and done >= self._total and not self._said:
            self._said = True
            sys.stderr.write(f"{self._title}: {note or 'done'}\n")
            sys.stderr.flush()

    def finish(self, note: str = "") -> None:
        """All is done, also if it took fewer steps."""
        self.update(self._total, note)
