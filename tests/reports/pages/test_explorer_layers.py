import re
from typing import Any

from reports.pages.explorer_layers import OPEN_AT_MOST, Group, grouped, layers_table

RESNET = [
    "conv1",
    *(f"layer1.{block}.{part}" for block in range(4) for part in ("conv1", "conv2", "add")),
    "fc",
]
OPS = ["conv", *(["conv", "conv", "add"] * 4), "linear"]


def lines(count: int, judged: int) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {"field": "3", "sigma": [1.0, 1.0], "jump": "1", "op": "conv", "window": "3/1/1"}
    shared |= {"output": "8x4x4", "flags": []}
    names = [f"{'early' if at < count // 2 else 'late'}.{at // 4}.{at % 4}" for at in range(count)]
    return [
        {"name": name, "judged": at == judged, "params": at, "macs": 10, **shared}
        for at, name in enumerate(names)
    ]


def test_blocks_of_the_same_ops_under_the_same_names_fold_as_one() -> None:
    first, stage, last = grouped(RESNET, OPS, nested=True)
    assert (first, last) == (0, 13)
    assert isinstance(stage, Group)
    assert stage.title == "layer1"
    (alike,) = stage.members
    assert isinstance(alike, Group)
    assert alike.short == "0 to 3, 4 alike"
    assert alike.layers == tuple(range(1, 13))


def test_calls_of_one_op_have_one_heading_however_many_there_are() -> None:
    (group,) = grouped(["add", "add#2", "add#3", "add#4"], ["add"] * 4, nested=True)
    assert isinstance(group, Group)
    assert group.layers == (0, 1, 2, 3)


def test_a_block_that_differs_keeps_a_heading_of_its_own() -> None:
    ops = [*OPS[:4], "conv", "pool", *OPS[6:]]
    _, stage, _ = grouped(RESNET, ops, nested=True)
    assert isinstance(stage, Group)
    titles = [member.title for member in stage.members if isinstance(member, Group)]
    assert titles == ["layer1.0", "layer1.1", "layer1.2 to layer1.3, 2 alike"]


def test_small_networks_fold_by_stage_alone() -> None:
    _, stage, _ = grouped(RESNET, OPS, nested=False)
    assert isinstance(stage, Group)
    assert stage.members == tuple(range(1, 13))


def test_a_heading_over_nothing_but_a_heading_is_left_out() -> None:
    names = [f"net.body.{part}.conv" for part in "abc"]
    (group,) = grouped(names, ["conv"] * 3, nested=True)
    assert isinstance(group, Group)
    assert group.title == "net.body"
    assert group.members == (0, 1, 2)


def test_every_layer_stands_in_the_groups_once_and_in_order() -> None:
    names = [*RESNET, *RESNET]
    groups = grouped(names, [*OPS, *OPS], nested=True)
    found = [leaf for each in groups for leaf in (each.layers if isinstance(each, Group) else (each,))]
    assert found == list(range(len(names)))


def test_what_is_judged_is_open_and_the_rest_of_a_large_network_is_not() -> None:
    count = OPEN_AT_MOST + 8
    page = layers_table(lines(count, judged=0), 0)
    rows = re.findall(r'<tr data-line="(\d+)"[^>]*>', page)
    hidden = [int(number) for number in re.findall(r'<tr data-line="(\d+)"[^>]* hidden', page)]
    assert [int(number) for number in rows] == list(range(count))
    assert 0 not in hidden
    assert set(range(count // 2, count)) <= set(hidden)
    assert not re.search(r'<tr data-line="\d+"[^>]* hidden', layers_table(lines(12, judged=0), 0))


def test_a_heading_adds_up_what_it_holds() -> None:
    page = layers_table(lines(12, judged=0), 0)
    heading = re.search(r'<tr class="fold".*?</tr>', page)
    assert heading is not None
    assert f'<td class="num">{sum(range(6))}</td><td class="num">60</td>' in heading[0]
