"""The explorer's list of layers: a table whose stages, blocks and repeated blocks fold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counted
from itertools import groupby
from typing import Any

from reports.pages.explorer_words import COLUMNS, FLAGS, JUDGED
from reports.pages.html import Markup, element
from reports.tables.table import count, millions

OPEN_AT_MOST = 40
"""With more layers than this, blocks fold within stages, and only what the budget judges is open at first."""
_HEADINGS = (
    *(
        ("layer", ""),
        ("RF, px", "num"),
        ("sigma, px", "num"),
        ("jump, px", "num"),
        ("op", ""),
        ("k/s/d/g", "num"),
        ("output", ""),
    ),
    *(("params", "num"), ("MACs", "num")),
)


@dataclass(frozen=True)
class Group:
    """Layers under one heading, which opens and closes."""

    title: str
    short: str
    """The title below another heading, without the name of that heading."""
    members: "tuple[int | Group, ...]"
    """Numbers of layers and inner groups, in the order in which they run."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of all layers in it."""
        return tuple(leaf for member in self.members for leaf in leaves(member))


def leaves(member: int | Group) -> tuple[int, ...]:
    """Return the numbers of the layers of a member."""
    return member.layers if isinstance(member, Group) else (member,)


def grouped(names: Sequence[str], ops: Sequence[str], nested: bool) -> tuple[int | Group, ...]:
    """Group layers by the dotted parts of their names.

    Args:
        names: In the order in which they run.
        ops: What each does; blocks of the same ops under the same names are alike.
        nested: Whether blocks fold, too; otherwise only the topmost children do.
    """
    parts = [name.split("#")[0].split(".") for name in names]

    def level(numbers: Sequence[int], depth: int) -> list[int | Group]:
        found: list[int | Group] = []
        for head, run in groupby(numbers, key=lambda number: parts[number][: depth + 1]):
            members = list(run)
            # Calls of one op outside any child have one name: nothing below it tells them apart.
            if len(members) == 1 or (depth and len(members) == 2) or len(head) <= depth:
                found += members
                continue
            inner = level(members, depth + 1) if nested else [*members]
            # A heading over one other heading says nothing.
            alone = len(inner) == 1 and isinstance(inner[0], Group)
            found.append(inner[0] if alone else Group(".".join(head), head[-1], tuple(together(inner))))
        return found

    def together(members: Sequence[int | Group]) -> Iterator[int | Group]:
        """Put neighbouring blocks that are alike under one heading."""
        for kind, run in groupby(members, key=signature):
            same = list(run)
            blocks = [each for each in same if isinstance(each, Group)]
            if kind is None or len(blocks) < 2:
                yield from same
                continue
            first, last, alike = blocks[0], blocks[-1], f"{len(blocks)} alike"
            layers = tuple(leaf for block in blocks for leaf in block.layers)
            titles = f"{first.title} to {last.title}, {alike}", f"{first.short} to {last.short}, {alike}"
            yield Group(*titles, layers)

    def signature(member: int | Group) -> tuple[tuple[str, str], ...] | None:
        if not isinstance(member, Group):
            return None
        skip = len(member.title.split("."))
        return tuple((".".join(parts[leaf][skip:]), ops[leaf]) for leaf in member.layers)

    return tuple(level(range(len(names)), 0))


def layers_table(lines: Sequence[dict[str, Any]], opens: int) -> Markup:
    """Return the table of layers, with a row a layer and a row a heading.

    Args:
        lines: Those of `reports.pages.explorer.explore`.
        opens: The layer that the page opens on.
    """
    folds = len(lines) > OPEN_AT_MOST
    groups = grouped([line["name"] for line in lines], [line["op"] for line in lines], folds)
    numbers = counted()

    def rows(member: int | Group, inside: int | None, depth: int, shown: bool) -> list[Markup]:
        if not isinstance(member, Group):
            return [_layer(member, lines[member], inside, depth, shown)]
        own = next(numbers)
        is_open = not folds or any(lines[leaf]["judged"] or leaf == opens for leaf in member.layers)
        drawn = [_heading(member, lines, own, inside, depth, shown, is_open)]
        for each in member.members:
            drawn += rows(each, own, depth + 1, shown and is_open)
        return drawn

    head = element(
        "tr",
        [
            element("th", explained(title, COLUMNS[title]), scope="col", class_=kind or None)
            for title, kind in _HEADINGS
        ],
    )
    bodies = [element("tbody", rows(member, None, 0, True)) for member in groups]
    listed = element("table", element("thead", head), bodies, id="layers", aria_label="Layers")
    return element("div", listed, class_="layers")


def _heading(
    group: Group,
    lines: Sequence[dict[str, Any]],
    own: int,
    inside: int | None,
    depth: int,
    shown: bool,
    is_open: bool,
) -> Markup:
    """A row that says what leaves the group and what it costs in all."""
    members = [lines[leaf] for leaf in group.layers]
    title = f"{group.short} ({len(members)} layers)"
    button = element("button", title, type="button", aria_expanded=str(is_open).lower())
    total = {**members[-1], "params": 0, "macs": 0, "op": "", "window": "", "flags": ()}
    for line in members:
        total["params"] += line["params"]
        total["macs"] += line["macs"]
    cells = [element("th", button, scope="rowgroup"), *_cells(total)]
    kind = f"fold in-{depth}" if depth else "fold"
    return element("tr", cells, class_=kind, data_fold=own, data_in=inside, hidden=not shown)


def _layer(index: int, line: dict[str, Any], inside: int | None, depth: int, shown: bool) -> Markup:
    kinds = [f"in-{depth}" if depth else "", "judged" if line["judged"] else ""]
    remark = [" ", explained("judged", JUDGED)] if line["judged"] else None
    return element(
        "tr",
        [element("th", line["name"], remark, scope="row"), *_cells(line)],
        data_line=index,
        data_in=inside,
        tabindex=-1,
        aria_label=f"{line['name']}, {line['op']}",
        class_=" ".join(filter(None, kinds)) or None,
        hidden=not shown,
        aria_selected="false",
    )


def explained(word: str, meaning: str) -> Markup:
    """A word that says what it means where the pointer or the focus is."""
    return element("abbr", word, title=meaning, tabindex=0)


def _cells(line: dict[str, Any]) -> list[Markup]:
    flags = [explained(flag, FLAGS.get(flag, "")) for flag in line["flags"]]
    remark = [element("span", " ", flag, class_="flag") for flag in flags]
    sigma = line["sigma"]
    shown = "-" if sigma is None else "x".join(dict.fromkeys(f"{each:.1f}" for each in sigma))
    return [
        element("td", line["field"], class_="num"),
        element("td", shown, class_="num"),
        element("td", line["jump"] or "-", class_="num"),
        element("td", line["op"], remark),
        element("td", line["window"], class_="num"),
        element("td", line["output"]),
        element("td", count(line["params"]), class_="num"),
        element("td", millions(line["macs"]), class_="num"),
    ]
