"""The Flower ServerApp, ``hubclean.federated.flower.server_app:app``: cleanses or trains one checkpoint with others."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from hubclean import registry
from hubclean.cleansing import inputs, pipeline
from hubclean.cleansing.options import CleanOptions
from hubclean.errors import BallotError, FormatError
from hubclean.federated import settings
from hubclean.federated.cleansing import FederatedRounds
from hubclean.federated.flower.records import TYPES, pack_question, unpack_answer
from hubclean.federated.questions import Question, Reply, State
from hubclean.federated.rounds import Rounds
from hubclean.federated.settings import Scalar, Settings
from hubclean.federated.training import FederatedTraining
from hubclean.nets import loading
from hubclean.whole_folder import check_free, whole_folder

_LOG = logging.getLogger("flwr")
REPORT = "rounds.json"


@dataclass(frozen=True)
class FlowerCrowd:
    """The SuperNodes of a run, by node id.

    Args:
        timeout: seconds a round waits; who has not answered by then is left out of it.
    """

    grid: Grid
    timeout: float

    def members(self) -> tuple[str, ...]:
        """Ids of the nodes that are connected now."""
        return tuple(sorted(str(node) for node in self.grid.get_node_ids()))

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        """One message to each; answers that came in time, failures among them."""
        content, kind = pack_question(question, state), TYPES[question.kind]
        sent = [Message(content, int(node), kind, ttl=max(60.0, 2 * self.timeout)) for node in who]
        return [_reply(one) for one in self.grid.send_and_receive(sent, timeout=self.timeout)]

    def wait(self, clients: int, seconds: float) -> None:
        """Return when so many nodes are connected.

        Raises:
            BallotError: they are not after ``seconds``.
        """
        until = time.monotonic() + seconds
        while len(self.members()) < clients:
            if time.monotonic() > until:
                raise BallotError(f"{len(self.members())} of {clients} clients were connected after {seconds:g} s")
            time.sleep(0.5)


def _reply(message: Message) -> Reply:
    who = str(message.metadata.src_node_id)
    if message.has_error():
        return Reply(who, None, f"it failed: {message.error.reason or message.error.code}")
    try:
        return Reply(who, unpack_answer(message.content))
    except FormatError as error:
        return Reply(who, None, str(error))


def run_job(crowd: FlowerCrowd, config: Mapping[str, Scalar]) -> Path:
    """Do the job of a run config; the folder that was written.

    ``cleanse`` writes what ``hubclean clean`` writes (weights, audit, card), so that ``hubclean push`` takes it;
    ``train`` writes the checkpoint's folder with the new weights. Beside the folder lies ``OUT.rounds.json`` with every
    question and who did not answer, or not by the rules.

    Raises:
        HubcleanError: anything that kept it from finishing; then the folder does not exist.
    """
    chosen = settings.read_settings(config)
    out = settings.out_folder(chosen)
    check_free(out)
    crowd.wait(chosen.clients, chosen.wait)
    return _cleanse(crowd, config, chosen, out) if chosen.job == "cleanse" else _train(crowd, config, chosen, out)


def _cleanse(crowd: FlowerCrowd, config: Mapping[str, Scalar], chosen: Settings, out: Path) -> Path:
    given = registry.values_of(FederatedRounds, settings.options_for(config, "cleanse"))
    defense = FederatedRounds(crowd, **given)  # type: ignore[arg-type]
    command = f"flwr run hubclean/federated/flower ({_told(config)})"
    options = CleanOptions(("skip",), defense.name, retune=False, ready=defense, command=command)
    data, revision = chosen.server_data or None, chosen.revision or None
    try:
        pipeline.clean(chosen.model, data, out, chosen.session(), options, revision)
    finally:
        _write(defense.record, out)
    return out


def _train(crowd: FlowerCrowd, config: Mapping[str, Scalar], chosen: Settings, out: Path) -> Path:
    given = registry.values_of(FederatedTraining, settings.options_for(config, "train"))
    plan = FederatedTraining(**given)  # type: ignore[arg-type]
    original, _ = inputs.open_scanned(chosen.model, chosen.revision or None, None)
    trained, asking = original.copy(), Rounds(crowd, plan.quorum)
    try:
        plan.train(trained, asking, chosen.session(), after_round=lambda n: _LOG.info("round %d of %d", n, plan.rounds))
    finally:
        _write(asking, out)
    trained.model.cpu()
    with whole_folder(out) as folder:
        loading.write_checkpoint(original, trained, folder)
    return out


def _told(config: Mapping[str, Scalar]) -> str:
    """The run config as text; of paths the last name alone."""
    shown = {key: str(value) for key, value in sorted(config.items()) if value != ""}
    paths = {key: Path(shown[key]).name for key in ("model", "data", "out", "server-data") if key in shown}
    return " ".join(f"{key}={value}" for key, value in (shown | paths).items())


def _write(asking: Rounds, out: Path) -> None:
    rows = [asdict(one) for one in asking.reports]
    place = out.with_name(f"{out.name}.{REPORT}")
    place.write_text(json.dumps({"schema": "hubclean/rounds/v1", "rounds": rows}, indent=1) + "\n", encoding="utf-8")


def main(grid: Grid, context: Context) -> None:
    """What Flower calls."""
    chosen = settings.read_settings(context.run_config)
    out = run_job(FlowerCrowd(grid, chosen.timeout), context.run_config)
    _LOG.info("written: %s", out)


app = ServerApp()
app.main()(main)
