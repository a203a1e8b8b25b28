"""The last stage: the winner, trained on train and validation, meets the test images once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.spec import NetSpec
from records.run import EpochRecord
from records.search import TrialRecord
from records.stopping import Stopped
from search.errors import SearchError
from search.execute.job import DataRequest, Job, Keep
from search.session.cost import Cost
from search.session.findings import Findings
from search.session.plan import SearchPlan
from search.session.results import verdict_of, write_network
from search.session.stage import Context


class Winner:
    """Trains the best finalist with its recipe fixed, unless an earlier session has.

    Nothing is selected any more: all training images are learnt from, and the last averaged weights are those
    that count. A session that broke off here goes on at its last checkpoint.
    """

    name = "winner"

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what one training on all training images costs."""
        return Cost(1, plan.settings.winner_epochs, len(plan.dataset.train))

    def run(self, context: Context, found: Findings) -> Findings:
        """Fill the folder best/ with the winner."""
        plan, best = context.plan, context.plan.folder.winner
        number = found.finalists[0].number
        chosen = replace(found, winner=number)
        records = plan.folder.trials()
        spec = NetSpec.from_json(_spec(records, number))
        building = best.begin(spec.to_json())
        if building is not None:
            # While best/ still holds a former winner, search.json does not call it by the number of this one.
            if not best.path.exists():
                context.chronicle.findings = chosen
                context.chronicle.keep(records)
            write_network(building, spec)
            self._train(context, self._job(context, spec, str(building)))
            best.swap()
        gate = context.gate
        return replace(chosen, verdict=verdict_of(best.path / "model.py", gate.budget, gate.input_size))

    def _job(self, context: Context, spec: NetSpec, folder: str) -> Job:
        plan, settings = context.plan, context.plan.settings
        images = DataRequest(settings.data, settings.cache, settings.resize, None, settings.seed, whole=True)
        keep = Keep(folder, plan.folder.path.name, context.chronicle.command, plan.dataset.notice)
        recipe = settings.winner_recipe.to_json()
        return Job(0, 1, spec.to_json(), recipe, settings.seed, images, keep)

    def _train(self, context: Context, job: Job) -> None:
        display, epochs = context.display, int(job.recipe["epochs"])
        display.stage(self.name, epochs)

        def on_epoch(epoch: EpochRecord) -> None:
            display.epoch(epoch, epochs)

        # Alone it has the whole machine.
        trainings = context.trainings(jobs=1)
        for _, _, outcome in trainings.whole([(job, "winner")], on_epoch, patient=False):
            if outcome.state == "pruned":
                raise Stopped
            if outcome.state == "failed":
                raise SearchError(f"the winner's training failed: {outcome.reason}")


def _spec(records: Sequence[TrialRecord], number: int) -> dict[str, Any]:
    return next(record.spec for record in records if record.number == number)
