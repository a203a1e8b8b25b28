"""The table of a search's stages, made from whatever stages its record lists."""

from records.search import SearchRecord
from reports.tables.table import Column, Table, counts, times


def stages(record: SearchRecord) -> Table | None:
    """Return one row a stage: what each of its trainings is, and how long they took together.

    None: the search is of an earlier version, which did not record them.
    """
    if not record.stages:
        return None
    columns = (Column("stage"), counts("epochs"), counts("images an epoch"), times("time"))
    rows = tuple((each.name, each.epochs, each.images, each.seconds) for each in record.stages)
    return Table("Stages, and the time that they took", columns, rows)
