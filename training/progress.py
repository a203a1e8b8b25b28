"""A progress bar on a terminal, one plain line elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft


def say(console: Console, text: str) -> None:
    """Print one line as it is: a name in it may hold brackets, which are no markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def advancing(
    console: Console, what: str, total: int | None, *, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show that something takes time; call the result with each amount done."""
    if not console.is_terminal:
        say(console, what)
        yield lambda amount: None
        return
    amount_column: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, BarColumn(), amount_column, TimeLeft(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.advance(task, amount)
