"""What a flag of the search names, in the target grammar of rfcalc, as the spec that it has."""

import rfcalc
from models.catalogue import is_own, spec_of
from models.errors import SpecError
from models.presets import PRESETS
from models.spec import NetSpec
from search.errors import SearchError


def spec_named(flag: str, name: str, why: str) -> NetSpec:
    """Return the spec of a preset, a spec.json, or a run folder that keeps one; of a search, its winner's.

    Args:
        flag: As the user typed it: "--base".
        name: What it names.
        why: What a network without a spec cannot do: "its widths cannot be searched".

    Raises:
        SearchError: There is no such network, or no spec describes it.
    """
    try:
        target = rfcalc.Target.parse(name)
        own = is_own(target.catalogue.root if target.catalogue else None)
        spec = spec_of(target.named, target.described) if own else None
    except (rfcalc.RfcalcError, SpecError) as error:
        raise SearchError(f"{flag} {error}") from error
    if target.given_size is not None:
        raise SearchError(f"{flag} {name}: the images decide the size; leave the @ out")
    if spec is None:
        raise SearchError(
            f"{flag} {name}: no spec describes it, so {why}; name a preset "
            f"({', '.join(PRESETS)}), a spec.json or a run folder that keeps one"
        )
    return spec
