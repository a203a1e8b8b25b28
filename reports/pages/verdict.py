"""What a reader of a search wants to know first: does it beat the best preset, and how surely."""

from records.outcome import challenger, kind_of, outcome
from records.search import LossDifference, SearchRecord
from records.text import plural
from reports.pages.html import Markup, element

_MOST = 0.88
"""How far from the middle the interval of the drawing may reach; its half is 1."""


def against_best_preset(record: SearchRecord) -> Markup | None:
    """Return the verdict in three words, the sentence with its figures, and the interval as a drawing.

    Searches of earlier versions have no interval of a paired difference: they get their sentence alone.
    A search that never had a preset, or has not come as far, gets the reason why there is no verdict.
    """
    words = outcome(record)
    if record.best_known is None:
        if words is None:
            words = _why_not(record)
        return element("p", words, class_="against") if words else None
    rival = challenger(record)
    beats = rival is not None and rival.number == record.winner
    best = f"the best {kind_of(record.best_known, record)}"
    title = f"Beats {best}" if beats else f"Does not beat {best}"
    kind = "verdict yes" if beats else "verdict no"
    drawn = None
    if rival is not None and rival.gap is not None:
        drawn = _interval(rival.gap, rival.title, record.best_known, kind_of(record.best_known, record))
    return element("div", element("strong", title), element("p", words, class_="against"), drawn, class_=kind)


def _why_not(record: SearchRecord) -> str | None:
    if record.winner is None:
        return "No verdict yet: nothing has won." if record.trials.get("complete") else None
    return "No verdict: no preset was trained beside the finalists, so there is nothing to compare with."


def _interval(gap: LossDifference, title: str, preset: str, kind: str) -> Markup:
    """Draw the 95 % interval of the difference around its middle, 0; the caption has the figures.

    The drawing is stretched to the width that there is, so nothing in it is a text or a circle.
    """
    scale = 500 * _MOST / max(abs(gap.loss) + gap.reach, 1e-12)
    middle = 500 + scale * gap.loss
    reach = scale * gap.reach
    shapes = (
        '<path class="axis" d="M0,12H1000"/><path class="zero" d="M500,0V24"/>'
        f'<path class="reach" d="M{middle - reach:.1f},12H{middle + reach:.1f}"/>'
        f'<path class="mean" d="M{middle:.1f},3V21"/>'
    )
    svg = Markup(f'<svg viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>')
    sides = (f"{title} is better", f"level with {preset}", f"the {kind} is better")
    below = element("div", [element("span", each) for each in sides], class_="ends")
    caption = element(
        "figcaption",
        f"Validation loss, {title} minus {preset}: {gap.loss:+.4f}, 95 % interval"
        f" {gap.loss - gap.reach:+.4f} to {gap.loss + gap.reach:+.4f}, n = {plural(gap.runs, 'seed')} each",
    )
    return element("figure", caption, svg, below, class_="interval")
