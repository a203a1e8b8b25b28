"""The last stage: the winner, trained on train and validation, meets the test images once."""

from dataclasses import replace

from models.spec import NetSpec
from records.outcome import outcome
from records.run import EpochRecord
from records.stopping import Stopped
from records.text import duration, plural
from search.errors import SearchError
from search.execute.job import DataRequest, Job, Keep
from search.session.chronicle import WINNER
from search.session.cost import Cost
from search.session.findings import Findings
from search.session.forecast import speed, winner_threads
from search.session.plan import SearchPlan
from search.session.presets import spec_of
from search.session.results import verdict_of, write_network
from search.session.stage import Context

WINNER_BATCHES = 30
"""Batches of the measurement that says how long the winner's own training takes."""


class Winner:
    """Trains the winner with its recipe fixed, unless an earlier session has.

    Nothing is selected any more: all training images are learnt from, and the last averaged weights are those
    that count. A session that broke off here goes on at its last checkpoint.
    """

    name = WINNER

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what one training on all training images costs."""
        return Cost(1, plan.settings.winner_epochs, len(plan.dataset.train))

    def run(self, context: Context, found: Findings) -> Findings:
        """Fill the folder best/ with the winner; without epochs, write its spec.json and model.py alone."""
        plan, best, gate = context.plan, context.plan.folder.winner, context.gate
        assert found.winner is not None
        spec = spec_of(found.winner, plan.folder)
        context.chronicle.findings = found
        words = outcome(context.chronicle.record(records := plan.folder.trials()))
        if words is not None:
            context.display.say(words, style="bold")
        if not plan.settings.winner_epochs:
            write_network(plan.folder.path, spec, words)
            model = plan.folder.path / "model.py"
            return replace(found, verdict=verdict_of(model, gate.budget, gate.input_size))
        chosen = found
        building = best.begin(spec.to_json())
        if building is not None:
            chosen = replace(found, winner_epochs=self._epochs(context, spec))
            # While best/ still holds a former winner, search.json does not call it by the number of this one.
            if not best.path.exists():
                context.chronicle.findings = chosen
                context.chronicle.keep(records)
            write_network(building, spec, words)
            self._train(context, self._job(context, spec, str(building), chosen.winner_epochs or 1))
            best.swap()
        return replace(chosen, verdict=verdict_of(best.path / "model.py", gate.budget, gate.input_size))

    def _epochs(self, context: Context, spec: NetSpec) -> int:
        """Return how many epochs the winner has, and say how long they take.

        Those of a session that broke off stay: a run cannot change its length.
        """
        plan, settings = context.plan, context.plan.settings
        epochs, previous = settings.winner_epochs, plan.previous
        checkpoint = plan.folder.winner.coming / "last.pt"
        if previous is not None and previous.winner_epochs and checkpoint.is_file():
            return previous.winner_epochs
        images = len(plan.dataset.train)
        each = images / speed(plan, spec, winner_threads(settings), WINNER_BATCHES)
        if settings.winner_time is not None:
            # Fewer than a finalist has would waste what was found.
            epochs = min(epochs, max(settings.final_epochs, int(settings.winner_time / each)))
        context.display.say(
            f"the winner's own training: {plural(epochs, 'epoch')} of {images:,} images, about "
            f"{duration(epochs * each)}, outside of the time limit"
        )
        return epochs

    def _job(self, context: Context, spec: NetSpec, folder: str, epochs: int) -> Job:
        plan, settings = context.plan, context.plan.settings
        images = DataRequest(settings.data, settings.cache, settings.resize, None, settings.seed, whole=True)
        keep = Keep(folder, plan.folder.path.name, context.chronicle.command, plan.dataset.notice)
        recipe = replace(settings.winner_recipe, epochs=epochs).to_json()
        threads = winner_threads(settings)
        return Job(0, 1, spec.to_json(), recipe, settings.seed, images, keep, threads=threads)

    def _train(self, context: Context, job: Job) -> None:
        display, epochs = context.display, int(job.recipe["epochs"])
        display.stage(self.name, epochs)

        def on_epoch(epoch: EpochRecord) -> None:
            display.epoch(epoch, epochs)

        trainings = context.trainings(jobs=1)
        for _, _, ended in trainings.whole([(job, "winner")], on_epoch, patient=False):
            if ended.state == "pruned":
                raise Stopped
            if ended.state == "failed":
                raise SearchError(f"the winner's training failed: {ended.reason}")
