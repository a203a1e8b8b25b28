"""One judged limit in words: what it is, what it must be, and how far it is from that."""

from __future__ import annotations

from rfcalc.analysis.budget import Limit, key_of
from rfcalc.text import percent

__all__ = ["limit_sentence", "limit_texts"]


def limit_texts(limit: Limit) -> tuple[str, str, str, str, str, str]:
    """One judged limit as texts: state, name, value, what it must be, room, where."""
    state = {True: "held", False: "BROKEN", None: "not judged"}[limit.held]
    kind = limit.name.partition("_")[0]
    if isinstance(limit.bound, bool):
        bound = "no" if kind == "forbid" else "yes"
        value = "yes" if limit.value else "no"
    else:
        bound = f"{ {'min': '>=', 'max': '<='}.get(kind, '=') } {limit.bound:,}"
        value = "-" if limit.value is None else f"{limit.value:,}"
    return state, key_of(limit.name), value, bound, _room(limit, kind), limit.note


def limit_sentence(limit: Limit) -> str:
    """One limit in a sentence: "max-params is 106,745, must be <= 99,999, over by 6,746 (7 %)"."""
    _, name, value, bound, room, where = limit_texts(limit)
    text = f"{name} is {value}, must be {bound}" + (f", {room}" if room else "")
    return text + (f" ({where})" if where else "")


def _room(limit: Limit, kind: str) -> str:
    """How far a limit is from being broken, or how far it is broken: "room 16", "over by 6,746 (7 %)"."""
    if limit.margin is None or isinstance(limit.bound, bool):
        return ""
    if kind not in ("min", "max"):
        return "" if limit.margin == 0 else f"off by {limit.margin:,}"
    if limit.margin <= 0:
        return f"room {-limit.margin:,}"
    share = f" ({percent(limit.margin / limit.bound)})" if limit.bound else ""
    return f"{'short' if kind == 'min' else 'over'} by {limit.margin:,}{share}"
