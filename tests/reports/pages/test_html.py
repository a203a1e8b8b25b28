import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from reports.pages.html import document, element, island_json, join, picture, table
from reports.tables.table import Column, Table, percents

HOSTILE = "</script><script>alert(1)</script><!--"


def test_no_script_has_a_literal_of_several_lines_or_a_comment_in_the_page() -> None:
    """Pages leave out comments and indentation line by line."""
    for path in (Path(__file__).resolve().parents[3] / "reports" / "assets").glob("*.js"):
        odd = [line for line in path.read_text(encoding="utf-8").splitlines() if line.count("`") % 2]
        assert not odd, f"{path.name}: {odd[0]}"
    page = document("t", element("p", "x"), {}, ("base.js",))
    assert "// What every page has" not in page
    assert "const data = JSON.parse" in page


def test_text_and_attributes_are_escaped() -> None:
    assert element("p", HOSTILE, title='"><b>') == (
        '<p title="&quot;&gt;&lt;b&gt;">&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--</p>'
    )


def test_markup_is_kept_and_nothing_is_left_out() -> None:
    assert join(["a", None, element("b", 1), [element("i", 2.5), ["<"]]]) == "a<b>1</b><i>2.5</i>&lt;"


def test_attributes_that_are_none_or_false_are_left_out_and_true_is_bare() -> None:
    assert element("input", class_=None, hidden=False, checked=True, data_x=1) == '<input checked data-x="1">'


def test_data_cannot_end_its_script_element() -> None:
    text = island_json({"name": HOSTILE, "line": "\u2028"})
    assert "<" not in text
    assert ">" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"name": HOSTILE, "line": "\u2028"}


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        island_json({"loss": float("nan")})


def test_the_policy_allows_the_own_script_and_style_by_hash_and_nothing_else() -> None:
    page = document("t", element("p", "x"), {}, ("base.js",))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    # base-uri and form-action do not fall back on default-src: without them a name that got through as markup
    # could send the page's links or a form elsewhere.
    assert list(directives) == [
        *("default-src", "script-src", "style-src", "img-src", "base-uri", "form-action")
    ]
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["img-src"] == "data:"
    assert "http" not in policy
    assert "unsafe" not in policy


def test_a_table_keeps_the_stored_value_beside_the_shown_one() -> None:
    data = Table("Caption", (Column("class"), percents("accuracy")), (("<cat>", 0.84125), ("dog", None)))
    text = table(data, "t")
    assert '<th scope="row">&lt;cat&gt;</th><td class="num" data-value="0.84125">84.12 %</td>' in text
    assert '<td class="num none">-</td>' in text


def test_bars_are_as_long_as_their_share_of_the_longest() -> None:
    data = Table("Caption", (Column("class"), percents("accuracy")), (("a", 0.8), ("b", 0.2), ("c", None)))
    assert re.findall(r'<rect class="bar" width="(\d+)"', table(data, "t", bars=1)) == ["1000", "250", "0"]


def test_a_picture_travels_inside_the_page_with_its_description() -> None:
    image = picture(b"\x89PNG....", 'a "picture"')
    assert image == '<img src="data:image/png;base64,iVBORy4uLi4=" alt="a &quot;picture&quot;">'
