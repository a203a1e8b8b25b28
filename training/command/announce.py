"""What the screen shows of a run before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from records.run import DatasetFacts
from records.text import plural
from training.command.plan import Plan
from training.command.pretrained import reads_photographs
from training.command.repeat import differences
from training.data.balance import by_class


def announce(plan: Plan, folder: Path, console: Console) -> None:
    """Print data, network, budget, recipe and folder of the run, and what differs from a run it repeats."""
    record, recipe = plan.record, plan.recipe
    data = record.dataset
    if data.notice:
        console.print(data.notice, style="bold yellow", markup=False)
    size = f"{data.image_size[0]}x{data.image_size[1]}"
    validating = f"{data.validation_images:,} to validate"
    rest = validating if data.validation_images else f"{data.test_images:,} to test"
    field = " x ".join(map(str, dict.fromkeys(record.receptive_field)))
    for line in (
        f"data      {data.title}: {data.train_images:,} images of {size} to train, {rest}",
        *_classes(data),
        f"network   {record.network}: {record.params:,} parameters, {record.macs / 1e6:.1f} M MACs, "
        f"receptive field {field}",
        *_backbone(plan),
        f"budget    {_judged(plan)}",
        f"recipe    {recipe.name}: {plural(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, "
        f"policy {recipe.policy}, on {record.environment.device}{_taught(plan)}",
        f"folder    {folder}",
    ):
        console.print(line, markup=False)
    if plan.notice:
        console.print(plan.notice, style="yellow", markup=False)
    if plan.repeats is not None:
        console.print(f"repeats   {plan.repeats.name} of {plan.repeats.started}", markup=False)
        for line in differences(plan.repeats, record) or ("nothing: same code, packages and machine",):
            console.print(f"differs   {line}", markup=False)


def _taught(plan: Plan) -> str:
    teacher = plan.record.teacher
    return f", taught by {teacher.network} of {teacher.path}" if teacher else ""


def _classes(data: DatasetFacts) -> Iterator[str]:
    """Yield what is to be known of class folders, which may hold anything; named sets are as published."""
    if data.kind not in ("folder", "archive"):
        return
    yield f"classes   {by_class(data.train_by_class, data.classes)}"
    if data.unreadable:
        left_out = plural(len(data.unreadable), "image")
        yield f"left out  {left_out} that cannot be read, such as {data.unreadable[0]}; run.json lists them"


def _backbone(plan: Plan) -> Iterator[str]:
    transfer = plan.transfer
    if transfer is None:
        return
    kept = f"{transfer.frozen} of {plural(transfer.stages, 'stage')} of {transfer.pretrained.source} frozen"
    if transfer.unfreezing is not None:
        some, epoch = transfer.unfreezing.stages, transfer.unfreezing.epoch
        kept += f", {some} of them up to epoch {epoch}"
    if plan.cached:
        yield f"backbone  {kept}; what the first {transfer.cut} return is computed once and cached"
    elif transfer.cut and (reason := reads_photographs(plan.recipe)):
        yield f"backbone  {kept}; nothing is cached, since {reason}"
    else:
        yield f"backbone  {kept}"


def _judged(plan: Plan) -> str:
    if plan.transfer is not None:
        return "not judged: a pretrained backbone"
    if plan.verdict is None:
        return "none ([tool.rfcalc] in a pyproject.toml would set one)"
    if plan.verdict.ok:
        return f"all {len(plan.verdict.margins)} limits of {plan.budget} hold"
    broken = "; ".join(
        f"{limit.name.replace('_', '-')} {limit.bound} (has {limit.value})" for limit in plan.verdict.broken
    )
    return f"BROKEN: {broken}; {plan.budget}"
