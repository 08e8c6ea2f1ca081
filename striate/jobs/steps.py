"""The main job: a network, data and budgets in; a smaller network and the account of it out.

Every step is a function of the request, of the steps before it and of the checkpoints they name, and is journaled
when it is done; see `striate.runs`. The order: look at the network (no data, no training), train it first if asked,
measure the rungs, plan the finalists, fit and race them, train the winner in two arms, keep the best, and read the
test set, once for the original and once for the result.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from striate.errors import RequestError, UnreachableBudget
from striate.jobs import deliver
from striate.jobs.problem import Problem, largest_share
from striate.jobs.progress import Progress
from striate.jobs.prospect import text
from striate.jobs.report import write_page
from striate.jobs.request import Settings
from striate.jobs.result import counts_of, document
from striate.jobs.scores import Judge, Score
from striate.jobs.training import Trained, describe, read_checkpoint, train, write_checkpoint
from striate.ledger.gates import resolve
from striate.reduce.apply import fit_to, replace, skeleton
from striate.reduce.choose import choose
from striate.reduce.finetune import Training
from striate.reduce.harm import measure
from striate.reduce.original import Original
from striate.reduce.plan import Plan
from striate.reduce.prospect import prospect
from striate.reduce.recipes import Arm, Recipe, arm_recipe, pretrain_recipe
from striate.reduce.running import checked_device
from striate.reduce.start import poorly_fitted, start_afresh
from striate.reduce.survey import Survey, survey, totals_of
from striate.runs import Run

FINALISTS = 4
# A run that has come no further has cost nothing: another may be begun in its place.
EXPENDABLE = ("survey", "baseline")
BASELINE = "baseline.safetensors"


@dataclass(frozen=True)
class Finished:
    """What a job came to: `result` is the `striate.shrink/1` document, `model` the network on the CPU.

    `model` is the original where the budget was met already, None where it cannot be met; `stopped` says why.
    """

    result: dict[str, Any]
    model: nn.Module | None
    stopped: UnreachableBudget | None = None


@dataclass(frozen=True)
class Contender:
    """A network of one plan: the checkpoint that holds its weights, and its score on the validation rows."""

    finalist: int
    source: str
    epoch: int | None
    checkpoint: str
    score: Score


class Shrinking:
    """The job on one problem in one run. `work` does it, or what is left of it."""

    def __init__(
        self,
        run: Run,
        problem: Problem,
        settings: Settings,
        progress: Progress,
        command: str | None = None,
        *,
        keep: bool = True,
    ) -> None:
        """`keep` false: the run directory is not to stay, so nothing is exported into it."""
        self.command = command
        self.keep = keep
        self.run = run
        self.problem = problem
        self.settings = settings
        self.progress = progress
        self.device = checked_device(settings.device)
        self.notes = list(problem.notes)

    def work(self) -> Finished:
        """Do the steps that are not done yet; an interrupted run says so in its result."""
        try:
            return self._work()
        except KeyboardInterrupt:
            self._stopped("interrupted")
            raise

    def _work(self) -> Finished:
        seen = self._survey()
        self._report_prospect()
        try:
            if not seen.met:
                seen.require_reachable()
        except UnreachableBudget as stopped:
            result = self._stopped("unreachable", seen, stopped.smallest)
            if self.keep:
                write_page(self.run)
            return Finished(result, None, stopped)
        original = self._original()
        judge = self._judge(original)
        baseline = self.run.step(
            "baseline", lambda: counts_of(seen.totals) | self._measured(judge, original)
        )
        self._check_baseline(baseline["validation"])
        self.progress.say(
            f"original: {baseline['params']:,} parameters, {describe(baseline['validation'])}"
        )
        if seen.met:
            self.progress.say("the budget is met already; the network stays as it is")
            return self._deliver(seen, original, judge, None, [], [])
        self._say_what_chooses(judge, baseline["validation"])
        source = Original(original, list(seen.choices), self.problem.train, self.settings.seed)
        self._say_what_is_felt(source)
        plans = self._plans(seen, source)
        fitted = [
            self._finalist(number, plan, source, judge)
            for number, plan in enumerate(plans, start=1)
        ]
        raced = self._race(plans, fitted, original, judge)
        winner = max(raced, key=lambda contender: judge.rank(contender.score))
        arms = self._arms(winner, plans[winner.finalist - 1], original, judge)
        best = max(
            [*arms, winner, fitted[winner.finalist - 1]],
            key=lambda contender: judge.rank(contender.score),
        )
        if self.settings.epochs and best.source == "fitted":
            self.notes.append("training did not improve on the fit; its epochs were dropped")
        return self._deliver(seen, original, judge, best, plans, raced)

    def _stopped(
        self, status: str, seen: Survey | None = None, smallest: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Write the result of a run that did not come to its end."""
        result = document(
            self.run,
            self.settings,
            status,
            limits=() if seen is None else seen.limits,
            # Nothing was done, so what is to be judged is the network as it is.
            values=None if seen is None else counts_of(seen.totals),
            smallest=smallest,
            notes=self.notes,
            command=self.command,
        )
        self.run.write_json("result.json", result)
        return result

    # ---- before any fit

    def _survey(self) -> Survey:
        example = self.problem.few()
        totals = counts_of(totals_of(self.problem.model, example))
        limits = [resolve(budget, totals) for budget in self.settings.budgets()]
        seen = survey(self.problem.model, example, limits, self.problem.layout)
        self.run.step("survey", lambda: deliver.survey_document(seen))
        return seen

    def _report_prospect(self) -> None:
        """What `striate count --sites` says: of the network, whatever the budget."""
        found = prospect(self.problem.model, self.problem.few(), self.problem.layout)
        self.progress.say(text(found))

    def _original(self) -> nn.Module:
        """The network to shrink, on the CPU: as it was given, or trained first."""
        model = copy.deepcopy(self.problem.model).eval()
        if not self.settings.pretrain:
            return model
        judge = self._judge(model, by="accuracy")
        trained = self._train(
            "pretrain",
            pretrain_recipe(self.settings.pretrain, _trained(model)),
            model,
            None,
            judge,
            "training the original",
        )
        model = copy.deepcopy(self.problem.model).eval()
        model.load_state_dict(read_checkpoint(self.run, trained.checkpoint)["model"])
        self.run.write_bytes(BASELINE, deliver.weights(model))
        return model

    def _judge(self, original: nn.Module, by: str | None = None) -> Judge:
        """Rows that neither the original nor the result was trained on are judged by the labels, others by KL."""
        unseen = self.settings.pretrain > 0 or self.problem.validation_is_given
        on_device = (
            original if self.device.type == "cpu" else copy.deepcopy(original).to(self.device)
        )
        return Judge(
            original=on_device,
            validation=self.problem.validation,
            labelled=self.problem.labelled,
            by="accuracy"
            if self.problem.labelled and (by == "accuracy" or unseen)
            else "divergence",
            device=self.device,
        )

    def _measured(self, judge: Judge, model: nn.Module) -> dict[str, Any]:
        return {"validation": judge.measure(self._moved(model))}

    def _moved(self, model: nn.Module) -> nn.Module:
        """`model` for use on the device: itself on the CPU, else a copy."""
        return model if self.device.type == "cpu" else copy.deepcopy(model)

    def _check_baseline(self, score: Score) -> None:
        trained = self.settings.pretrain or self.settings.accept_baseline
        if not self.problem.labelled or trained:
            return
        if self._knows_something(score):
            return
        found = (
            f"{100 * score['accuracy']:.1f} % of the validation images right, no better than chance"
        )
        if self.problem.weights is not None:
            raise RequestError(
                f"--weights {self.problem.weights}: the network names {found}; likely causes are the "
                "preprocessing (--mean, --std, --channels, --size) and the order of the labels; "
                "--accept-baseline goes on all the same"
            )
        raise RequestError(
            f"MODEL {self.problem.name}: the network names {found}; train it first with --pretrain N, give "
            "--weights, or check the preprocessing and the order of the labels; --accept-baseline goes on "
            "all the same"
        )

    def _knows_something(self, score: Score) -> bool:
        """Whether the original, on rows with labels, is better than chance."""
        low: float = score["metric"]["interval"][0]
        return low > largest_share(self.problem.validation)

    def _say_what_chooses(self, judge: Judge, score: Score) -> None:
        """A network that came trained was probably trained on the rows that validation is taken from."""
        if judge.by == "accuracy" or not self.problem.labelled:
            return
        if self.problem.weights is not None or self._knows_something(score):
            note = (
                "the validation images are taken from the training images, on which the given network was "
                "probably trained: the choice goes by agreement with it (KL divergence); --val gives images of "
                "their own"
            )
            self.notes.append(note)
            self.progress.say(f"note: {note}")

    def _say_what_is_felt(self, original: Original) -> None:
        """A network without gradients can be shrunk, only less well."""
        found = self.run.step("sensitivity", lambda: {"reason": original.sensitivity.reason})
        if found["reason"] is not None:
            note = (
                f"no gradients of the network's answers ({found['reason']}): in the fits, errors in all of a "
                "layer's outputs count alike"
            )
            self.notes.append(note)
            self.progress.say(f"note: {note}")

    # ---- plans and their networks

    def _plans(self, seen: Survey, original: Original) -> list[Plan]:
        if "finalists" not in self.run:
            offered = sum(len(choices) for choices in seen.choices.values())
            self.progress.say(
                f"measuring what up to {offered:,} choices cost in accuracy, before any training"
            )
            with self.progress.bar(None, "measuring what each rung costs in accuracy") as advance:

                def step(key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
                    advance(1)
                    return self.run.step(key, compute)

                measurements = measure(original, seen, self.problem.validation, step)
            self.progress.say(f"{len(measurements)} choices measured")
            self.run.step(
                "finalists",
                lambda: {
                    "plans": [plan.to_dict() for plan in choose(seen, measurements, FINALISTS)]
                },
            )
        plans = [Plan.from_dict(plan) for plan in self.run.value("finalists")["plans"]]
        if len(plans) < FINALISTS:
            only = (
                "only one plan fits"
                if len(plans) == 1
                else f"only {len(plans)} different plans fit"
            )
            self.notes.append(f"{only} the budget, so fewer than {FINALISTS} were raced")
        return plans

    def _finalist(self, number: int, plan: Plan, original: Original, judge: Judge) -> Contender:
        checkpoint = f"finalist-{number}-fitted.pt"

        def replaced() -> dict[str, Any]:
            return counts_of(plan) | self._measured(judge, replace(original.model, plan).eval())

        def fitted() -> dict[str, Any]:
            found = fit_to(original, plan)
            write_checkpoint(self.run, checkpoint, {"model": found.model.state_dict()})
            score = self._measured(judge, found.model.eval())
            return counts_of(plan) | score | {"residuals": dict(found.residuals)}

        before = self.run.step(f"finalist/{number}/replaced", replaced)["validation"]
        key = f"finalist/{number}/fitted"
        if key in self.run and not self.run.checkpoint(checkpoint).is_file():
            fitted()  # its line stands, its checkpoint was lost
        after = self.run.step(key, fitted)["validation"]
        self.progress.say(
            f"finalist {number}, {plan.params:,} parameters, {plan.label}: replaced {describe(before)}; "
            f"fitted {describe(after)}"
        )
        return Contender(number, "fitted", None, checkpoint, after)

    def _race(
        self, plans: list[Plan], fitted: list[Contender], original: nn.Module, judge: Judge
    ) -> list[Contender]:
        """The finalists after the same short training each, or as fitted where nothing is to be trained."""
        epochs = race_epochs(self.settings.epochs)
        if not epochs:
            return fitted
        raced = []
        for start, plan in zip(fitted, plans, strict=True):
            model = self._network(start, plan, original)
            afresh = self._afresh(start.finalist)
            start_afresh(model, afresh, self.settings.seed)
            trained = self._train(
                f"race/{start.finalist}",
                arm_recipe("distill", epochs, plan.params if afresh else 0),
                model,
                judge.original,
                judge,
                f"finalist {start.finalist}",
            )
            raced.append(_contender(start.finalist, "race", trained))
        return raced

    def _arms(
        self, winner: Contender, plan: Plan, original: nn.Module, judge: Judge
    ) -> list[Contender]:
        """The winner trained on, once by the original's outputs and, where there are labels, once by those."""
        epochs = self.settings.epochs - race_epochs(self.settings.epochs)
        if not epochs:
            return []
        arms: tuple[Arm, ...] = ("distill", "labels") if self.problem.labelled else ("distill",)
        contenders = []
        fresh = plan.params if self._afresh(winner.finalist) else 0
        for arm in arms:
            model = self._network(winner, plan, original)
            trained = self._train(
                arm,
                arm_recipe(arm, epochs, fresh),
                model,
                judge.original,
                judge,
                f"fine-tuning by {_SOURCES[arm]}",
            )
            contenders.append(_contender(winner.finalist, arm, trained))
        return contenders

    def _afresh(self, finalist: int) -> tuple[str, ...]:
        """Layers of a finalist that were fitted too poorly to be trained on from there."""
        return poorly_fitted(self.run.value(f"finalist/{finalist}/fitted")["residuals"])

    def _network(self, contender: Contender, plan: Plan, original: nn.Module) -> nn.Module:
        model = skeleton(original, plan).eval()
        model.load_state_dict(read_checkpoint(self.run, contender.checkpoint)["model"])
        return model

    def _train(
        self,
        phase: str,
        recipe: Recipe,
        model: nn.Module,
        teacher: nn.Module | None,
        judge: Judge,
        label: str,
    ) -> Trained:
        if self.settings.batch_size is not None:
            recipe = dataclasses.replace(recipe, batch_size=self.settings.batch_size)
        return train(
            self.run,
            phase,
            recipe.epochs,
            lambda: Training(
                model,
                self.problem.train,
                recipe,
                seed=self.settings.seed,
                phase=phase,
                teacher=teacher,
                device=self.device,
                precision=self.settings.precision,
            ),
            judge,
            self.progress,
            label,
            rows=len(self.problem.train),
        )

    # ---- the end

    def _deliver(
        self,
        seen: Survey,
        original: nn.Module,
        judge: Judge,
        best: Contender | None,
        plans: list[Plan],
        raced: list[Contender],
    ) -> Finished:
        if best is None:
            plan = Plan((), (), **counts_of(seen.totals))
            model = original
        else:
            plan = plans[best.finalist - 1]
            model = self._network(best, plan, original)
            chosen = {"from": best.source, "epoch": best.epoch, "finalist": best.finalist}
            self.run.step(
                "chosen", lambda: chosen | {"plan": plan.label, "validation": dict(best.score)}
            )
        frontier = [
            counts_of(plans[contender.finalist - 1])
            | {
                "validation_accuracy": contender.score["accuracy"],
                "metric": contender.score["metric"],
                "divergence": contender.score.get("divergence"),
                "plan": plans[contender.finalist - 1].label,
                "chosen": best is not None and contender.finalist == best.finalist,
            }
            for contender in raced
        ]
        result = deliver.deliver(
            self.run,
            self.problem,
            self.settings,
            deliver.Outcome(seen, original, model, plan, judge, frontier, tuple(self.notes)),
            self.progress,
            self.command,
            keep=self.keep,
        )
        return Finished(result, model)


_SOURCES: Mapping[Arm, str] = {"distill": "the original's outputs", "labels": "the labels"}


def _trained(model: nn.Module) -> int:
    return max(1, sum(p.numel() for p in model.parameters() if p.requires_grad))


def race_epochs(epochs: int) -> int:
    """How many of `epochs` every finalist is trained for before validation picks one.

    >>> [race_epochs(epochs) for epochs in (0, 1, 5, 10, 30)]
    [0, 1, 1, 2, 6]
    """
    return 0 if epochs == 0 else max(1, round(epochs / 5))


def _contender(finalist: int, source: str, trained: Trained) -> Contender:
    return Contender(finalist, source, trained.best, trained.checkpoint, trained.best_score)
