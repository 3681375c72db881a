"""What noise on votes costs: MVP among honest and malicious clients who all hand in noisy ballots; a JSON line a draw.

python -m benchmarks.federated.noise --shared ../shared/data --out benchmarks/results/federated_noise.jsonl
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from random import Random

from benchmarks.federated.cells import Setting, loaded, measured, people, trained
from benchmarks.federated.grid import MAX_DROP, STEP, arguments
from hubclean.federated.cleansing import FederatedRounds
from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.participants import Member
from hubclean.federated.questions import Answer, Question, Rank, State
from hubclean.methods.voting.noise import private
from hubclean.nets.images import DefenseData
from hubclean.nets.session import open_session

CELL = Setting("fashion_mnist", "dba", 10, 0.2, 0.5, 0, 3, 4, 4000, False)
RATE, DRAWS = 0.5, 3
CELLS = ((10, 0.2, "dba"), (50, 0.4, "model-replacement"))
EPSILONS = (None, 128.0, 32.0, 8.0)


@dataclass(frozen=True)
class Noisy:
    """Hands in votes with noise, and answers all else as ``inner``."""

    inner: Member
    epsilon: float
    random: Random

    def answer(self, question: Question, state: State) -> Answer:
        """As ``inner``, but for votes."""
        answer = self.inner.answer(question, state)
        if not isinstance(question, Rank):
            return answer
        return Answer(private([int(value) for value in answer.numbers], self.epsilon, self.random))


def main() -> None:
    """Measure and write."""
    given = arguments(__doc__).parse_args()
    lines = []
    for clients, malicious, attack in CELLS:
        setting = replace(CELL, clients=clients, malicious=malicious, attack=attack)
        session = open_session("cpu", setting.seed, 512)
        pictures = loaded(given.shared, setting, given.models)
        checkpoint = trained(setting, pictures, session, given.models)
        before = measured(checkpoint, setting, pictures.test, session)
        for epsilon in EPSILONS:
            for draw in range(DRAWS if epsilon else 1):
                rows = people(setting, checkpoint, pictures.clients, session, True)
                if epsilon:
                    rows = {name: Noisy(one, epsilon, Random(f"{name} {draw}")) for name, one in rows.items()}
                plan = FederatedRounds(
                    LocalCrowd(rows), site="conv", scheme="mvp", rate=RATE, step=STEP, max_drop=MAX_DROP, rounds=0
                )
                found = plan.cleanse(checkpoint, DefenseData.none(checkpoint.facts.input_size), (), session)
                after = measured(found.checkpoint, setting, pictures.test, session)
                row = {
                    **asdict(setting),
                    "epsilon": epsilon,
                    "draw": draw,
                    "cut": found.cut,
                    "before": before,
                    "after": after,
                }
                lines.append(json.dumps(row))
                given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
