"""One line for each thing that takes time, and below it a progress bar where there is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn
from rich.progress import TimeRemainingColumn as TimeLeft


def say(console: Console, text: str) -> None:
    """Print one line as it is: a name in it may hold brackets, which are no markup."""
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def advancing(
    console: Console, what: str, total: int | None, *, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show that something takes time; call the result with each amount done."""
    say(console, what)
    if not console.is_terminal:
        yield lambda amount: None
        return
    amount_column: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    with Progress(BarColumn(), amount_column, TimeLeft(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda amount: bar.advance(task, amount)
