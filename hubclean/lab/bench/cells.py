"""Works through a plan: plants, detects, cleanses, measures; every finished cell is a line on disk."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hubclean.cleansing import retuning, verdict
from hubclean.errors import OptionError
from hubclean.escaping import printable
from hubclean.json_records import from_json, to_json
from hubclean.lab.bench import rows, zoo
from hubclean.lab.bench.journal import Journal
from hubclean.lab.bench.plans import CLEAN, Method, Plan, digest
from hubclean.methods import runtime_filter
from hubclean.methods.interface import Detection, Stage
from hubclean.nets import loading
from hubclean.nets.memory import fitted
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger, load_trigger, save_trigger
from hubclean.records import DetectionReport, Retuning
from hubclean.registry import chosen_options
from hubclean.whole_folder import whole_folder


@dataclass
class BenchRun:
    """One call of the bench on one folder; several may work on the same folder at once.

    Args:
        session_for: makes the session of a seed.
        say: told of every finished cell.
        until: time (``time.monotonic``) at which no further cell is begun.
        again: also run cells that failed before.
    """

    plan: Plan
    folder: Path
    session_for: Callable[[int], Session]
    say: Callable[[str], None]
    until: float = float("inf")
    again: bool = False

    def work(self) -> bool:
        """Run what is missing; ``True`` when the whole plan is done (failures count as done).

        Raises:
            OptionError: several processes of one launcher: started on their own, they share the plan.
            HubcleanError: the data of the plan cannot be read; failures of single cells become rows.
        """
        if self.session_for(0).accelerator.num_processes > 1:
            raise OptionError("hubclean bench needs no launcher: start it several times on the same folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        held: dict[str, zoo.Pictures] = {}
        whole = True
        for data, net, seed, attacks in self.plan.models():
            session = self.session_for(seed)
            if data not in held:
                held[data] = zoo.pictures(data, self.plan, self.session_for(0))
            twin: float | None = None
            for attack in attacks:
                title = f"{held[data].name} {net.name} {attack} s{seed}"
                if time.monotonic() > self.until:
                    return False
                key = digest(data=held[data].fingerprint, net=net.name, attack=str(attack), seed=seed,
                             epochs=net.schedule.epochs)  # fmt: skip
                cache, images = self.folder / "models", held[data]
                # Everybody waits for the twin, which the others are compared with.
                with self._journal.claimed(f"{key}-planting", wait=attack.name == CLEAN) as mine:
                    model = mine and self._cell(
                        f"model-{key}",
                        title,
                        lambda: zoo.planted(cache, images, net, attack, seed, twin, session),  # noqa: B023
                    )
                whole = whole and mine
                if not model:
                    continue
                twin = model.row.figures.clean_accuracy.value if attack.name == CLEAN else twin
                if attack.name == CLEAN and CLEAN not in self.plan.attacks:
                    self._note(model.row, f"model-{key}")
                    continue
                with self._journal.claimed(key) as mine:
                    if mine:
                        self._note(model.row, f"model-{key}")
                    sized = fitted(session, model.checkpoint.model, images.shape)
                    whole = mine and self._model(model, images, sized) and whole
        return whole

    def _note(self, row: rows.ModelRow, failure: str) -> None:
        """Write the model's row, and that an earlier failure of it is healed."""
        done = self._journal.done()
        if row.id not in done:
            self._journal.write(row)
        if failure in done:
            self._journal.write(rows.FailureRow(failure, row.case.title, "", 0.0))

    def _model(self, model: zoo.ZooModel, images: zoo.Pictures, session: Session) -> bool:
        """Detectors, the verdict over them, then defenses on one model; ``False`` when time ran out."""
        found: list[Detection] = []
        for text in self.plan.detectors:
            if time.monotonic() > self.until:
                return False
            method = Method.of("detectors", text)
            key = digest(model=model.row.id, detector=str(method), sizes=self._sizes)
            title = f"{model.row.case.title} | {method}"
            one = self._cell(f"detection-{key}", title, lambda: self._detected(key, method, model, images, session))  # noqa: B023
            if one is None:  # a verdict or a defense without it would be another's
                return True
            found.append(one)
        self._judge(found, model)
        recovered = tuple(trigger for one in found for trigger in one.triggers)
        for text in self.plan.defenses:
            method = Method.of("defenses", text)
            names = ",".join(self.plan.detectors)
            key = digest(model=model.row.id, detectors=names, defense=str(method), sizes=self._sizes)
            if self._cleansed_before(f"defense-{key}", model):
                continue
            if time.monotonic() > self.until:
                return False
            title = f"{model.row.case.title} | {method}"
            self._cell(
                f"defense-{key}",
                title,
                lambda: self._cleansed(f"defense-{key}", method, model, images, recovered, session),  # noqa: B023
            )
        return True

    def _cleansed_before(self, key: str, model: zoo.ZooModel) -> bool:
        row = self._journal.done().get(key)
        missing = self.plan.retune and model.stamp is not None
        return isinstance(row, rows.DefenseRow) and not (missing and row.retuned is None and not row.guarded)

    def _cell(self, key: str, title: str, make: Callable[[], Any]) -> Any:
        """The result of ``make``, or ``None`` with a failure row when it raised, now or in an earlier run."""
        if not self.again and isinstance(self._journal.done().get(key), rows.FailureRow):
            return None
        started = time.monotonic()
        try:
            made = make()
        except Exception as error:  # the failure of one cell is a result; the others go on
            text = f"{type(error).__name__}: {printable(str(error), 300)}"
            self._journal.write(rows.FailureRow(key, title, text, time.monotonic() - started))
            self.say(f"{title}: FAILED {text}")
            return None
        spent = time.monotonic() - started
        if spent > 1:
            self.say(f"{title}: {spent:.0f} s")
        return made

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self.plan.fit, self.plan.val, self.plan.test

    @property
    def _journal(self) -> Journal:
        return Journal(self.folder)

    def _detected(
        self, key: str, method: Method, model: zoo.ZooModel, images: zoo.Pictures, session: Session
    ) -> Detection:
        """From disk, or run now; triggers are kept beside the model, so that defenses meet the same ones again."""
        place = self.folder / "detections" / key
        if not place.exists():
            detector = method.build()
            data = images.defense
            found: Detection = detector.detect(model.checkpoint, data, session)
            with whole_folder(place) as into:
                (into / "report.json").write_text(json.dumps(to_json(found.report)))
                for index, trigger in enumerate(found.triggers):
                    save_trigger(trigger, into / f"{index:04d}.safetensors")
        report = from_json(DetectionReport, json.loads((place / "report.json").read_text()))
        triggers = tuple(load_trigger(file) for file in sorted(place.glob("*.safetensors")))
        if not isinstance(self._journal.done().get(f"detection-{key}"), rows.DetectionRow):
            images_seen = self.plan.fit + self.plan.val
            self._journal.write(_detection_row(f"detection-{key}", method, model, report, images_seen))
        return Detection(report, triggers)

    def _judge(self, found: list[Detection], model: zoo.ZooModel) -> None:
        key = "verdict-" + digest(model=model.row.id, detectors=",".join(self.plan.detectors), rule=verdict.RULE,
                                  sizes=self._sizes)  # fmt: skip
        if not found or key in self._journal.done():
            return
        judged = verdict.judge(tuple(one.report for one in found))
        row = rows.VerdictRow(
            key,
            model.row.case,
            self.plan.fit + self.plan.val,
            judged.verdict,
            judged.targets,
            model.row.target,
            judged.reason,
            judged.evidence,
        )
        self._journal.write(row)

    def _cleansed(
        self,
        key: str,
        method: Method,
        model: zoo.ZooModel,
        images: zoo.Pictures,
        recovered: tuple[Trigger, ...],
        session: Session,
    ) -> None:
        defense, original = method.build(), model.checkpoint
        original.model.to(session.device)
        started = time.monotonic()
        result = defense.cleanse(original, images.defense, recovered, session)
        seconds = time.monotonic() - started

        def figures(net: torch.nn.Module) -> rows.Figures:
            return zoo.measure_planted(net, images.test, len(images.labels), model.stamp, session)

        stages = {stage.name: figures(_filtered(stage)) for stage in result.stages}
        before, after = figures(original.model), stages[result.kept]
        right = None if model.stamp is None else any(t.target == model.stamp.target for t in recovered)
        row = rows.DefenseRow(
            id=key,
            case=model.row.case,
            images=self.plan.fit + self.plan.val,
            defense=method.name,
            options=method.options,
            triggers=len(recovered),
            right=right,
            before=before,
            after=after,
            stages=stages,
            kept=result.kept,
            rating=rows.rating(before, after),
            reloads=self._reloads(model, result.stage, images),
            cut=result.cut,
            notes=tuple(printable(note, 300) for note in result.notes),
            passes=result.passes,
            seconds=seconds,
            guarded=bool(result.stage.filters),
            retuned=self._retuned(result.stage, model, images, session),
            chosen=chosen_options(defense),
        )
        self._journal.write(row)

    def _reloads(self, model: zoo.ZooModel, kept: Stage, images: zoo.Pictures) -> float:
        with tempfile.TemporaryDirectory(prefix="hubclean-bench-") as place:
            loading.write_checkpoint(model.checkpoint, kept.checkpoint, Path(place))
            return loading.same_logits(kept.checkpoint, Path(place), images.test.images(slice(0, 8)))

    def _retuned(self, kept: Stage, model: zoo.ZooModel, images: zoo.Pictures, session: Session) -> Retuning | None:
        if model.stamp is None or not self.plan.retune or kept.filters:
            return None
        stamps, original = [("planted", model.stamp)], model.checkpoint
        (row,) = retuning.check_retuning(kept.checkpoint, original, stamps, images.defense.fit, images.test, session)  # type: ignore[arg-type]
        return row


def _filtered(stage: Stage) -> torch.nn.Module:
    return runtime_filter.filtered(stage.checkpoint, stage.filters) if stage.filters else stage.checkpoint.model


def _detection_row(
    key: str, method: Method, model: zoo.ZooModel, report: DetectionReport, images: int
) -> rows.DetectionRow:
    return rows.DetectionRow(
        id=key,
        case=model.row.case,
        images=images,
        detector=method.name,
        options=method.options,
        verdict=report.verdict,
        targets=report.targets,
        planted=model.row.target,
        score=verdict.suspicion(report),
        reason=report.reason,
        measures=report.measures,
        norms=tuple(round(score.norm, 3) for score in report.scores),
        indices=tuple(round(score.index, 3) for score in report.scores),
        log_indices=tuple(round(score.log_index, 3) for score in report.scores),
        passes=report.forward_backwards,
        seconds=report.seconds,
    )


def with_limit(run: BenchRun, hours: float) -> BenchRun:
    """The run with a time limit from now; 0 = none."""
    return replace(run, until=time.monotonic() + 3600 * hours) if hours else run
