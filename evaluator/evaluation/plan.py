"""What a model can be run on, and what identifies a run and the result of a scan. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from evaluator.errors import UnknownNameError, UserError
from evaluator.files import fingerprint
from evaluator.manifests.organs import load_organs
from evaluator.prompting.initial_prompts import choose_kind
from evaluator.runs.run_info import DRAWN, DRAWN_UNREGISTERED, RunIdentity
from evaluator.types import Failure, Status
from evaluator.zoo.cards import read_text_prompts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.types import Case, Dataset, Modality, ModelCard, PromptKind, Protocol, RoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One model over one dataset under one protocol."""

    card: ModelCard
    #: of the image; for a model run without a container, of its files
    digest: str
    dataset: Dataset
    protocol: Protocol
    #: name of the run whose prompts are replayed, and their hash; None: prompts are drawn
    replay: tuple[str, str] | None = None
    #: the images of a case get one prompt; False: each gets one on its own reference
    registered: bool = True
    #: which weights the model runs with: the label's word, and a hash of those that are mounted
    weights: str = ""
    #: the value of each of the model's options
    options: Mapping[str, str] = field(default_factory=dict)

    def prepared(self, card: ModelCard, digest: str, weights: str) -> Plan:
        """The plan of a model whose image is known."""
        return replace(self, card=card, digest=digest, weights=weights)

    @property
    def kind(self) -> PromptKind | None:
        """The kind of prompt that this model gets; None if it accepts none of the protocol's."""
        return choose_kind(self.protocol.prompts, self.card)

    @property
    def texts(self) -> dict[str, str]:
        """The model's texts for organs, where they are not the project's; raises ManifestError."""
        return read_text_prompts(self.card)

    @property
    def identity(self) -> RunIdentity:
        """What must be equal for two runs to be one: everything that can change a result."""
        options = [f"{name}={value}" for name, value in sorted(self.options.items())]
        drawn = DRAWN if self.registered else DRAWN_UNREGISTERED
        return RunIdentity(
            model=self.card.name,
            image=self.digest,
            dataset=self.dataset.name,
            dataset_sha256=self.dataset.sha256,
            protocol=self.protocol.id,
            protocol_sha256=self.protocol.sha256,
            contract=self.card.contract,
            prompts=self.replay[1] if self.replay else drawn,
            weights=self.weights,
            options=" ".join(options),
        )

    @property
    def run_name(self) -> str:
        """The run's name unless the user gives one; equal settings give equal names."""
        parts = (
            self.card.name,
            self.dataset.name,
            self.protocol.id,
            fingerprint(asdict(self.identity))[:8],
        )
        return ".".join(parts)


def inputs_for(card: ModelCard, case: Case, modality: Modality) -> tuple[Modality, ...] | None:
    """The images of one request, the scan itself first.

    None if the model does not take the scan.
    """
    for names in card.inputs:
        if names[0] == modality and all(name in case.scans for name in names):
            return names
    return None


def refusal(plan: Plan, case: Case, modality: Modality) -> Failure | None:
    """Why the model cannot be run on this scan, from its card alone; None if it can."""
    inputs = inputs_for(plan.card, case, modality)
    if inputs is None:
        return _unsupported(f"the model does not take {modality} from this case")
    if plan.kind is None:
        return _unsupported(
            f"the protocol gives {' or '.join(plan.protocol.prompts.kinds)}; "
            f"the model understands {', '.join(plan.card.prompts) or 'no prompts'}"
        )
    if refused := correction_refusal(plan):
        return refused
    for name in inputs:
        unit, expected = case.scans[name].unit, plan.card.units.get(name)
        if expected not in (None, unit):
            return _unsupported(f"the model wants {name} in {expected}; this image is in {unit}")
    return None


def correction_refusal(plan: Plan) -> Failure | None:
    """Why the model cannot take part in the protocol's rounds; None if it can.

    A model without clicks takes part in round 0 (``takes_corrections``), except where the rounds
    are those of a challenge.
    """
    rounds = plan.protocol.rounds
    word = "scribbles" if rounds.correction == "scribble" else "clicks"
    if takes_corrections(plan) or (word == "clicks" and rounds.click_rule != "cvpr25"):
        return None
    return _unsupported(
        f"the protocol corrects by {word}; the model understands {', '.join(plan.card.prompts)}"
    )


def rounds_of(plan: Plan) -> RoundPlan:
    """The rounds that the model takes part in: those of the protocol, or round 0 alone."""
    rounds = plan.protocol.rounds
    return rounds if takes_corrections(plan) else replace(rounds, count=1)


def takes_corrections(plan: Plan) -> bool:
    """False if the model's card lacks the prompt of the protocol's corrections."""
    correction = plan.protocol.rounds.correction
    if correction == "none":
        return True
    return ("scribble" if correction == "scribble" else "point") in plan.card.prompts


def target_refusal(card: ModelCard, target: str) -> Failure | None:
    """Why the model does not segment this target; None if it does."""
    if card.targets is None or target in card.targets:
        return None
    organ = load_organs().find(target)
    hint = f"; it lists {organ}: rename the target" if organ in card.targets else ""
    return _unsupported(f"the target is not on the model's list{hint}")


def scan_key(plan: Plan, files: Mapping[str, str], prompts: Mapping[str, object]) -> str:
    """The key of one scan's result: equal keys mean that the same was asked of the same model.

    ``files``: sha256 of each image and reference by role; ``prompts``: round 0's, as recorded.
    """
    contract = plan.card.contract
    return fingerprint(
        {
            "image": plan.digest,
            "weights": plan.weights,
            "options": dict(plan.options),
            "contract": int(contract) if contract.isdigit() else contract,
            "protocol": plan.protocol.sha256,
            "rounds": asdict(plan.protocol.rounds),
            "files": dict(files),
            "prompts": dict(prompts),
        }
    )


def choose_options(card: ModelCard, given: Sequence[str]) -> dict[str, str]:
    """The value of every option of a card: as given by ``name=value``, else its default.

    Raises UserError, UnknownNameError.
    """
    chosen = {name: values[0] for name, values in card.options.items()}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: write name=value")
        if name not in card.options:
            raise UnknownNameError(f"option of {card.name}", name, card.options)
        if value not in card.options[name]:
            raise UnknownNameError(
                f"value of option {name} of {card.name}", value, card.options[name]
            )
        chosen[name] = value
    return chosen


def _unsupported(detail: str) -> Failure:
    return Failure(status=Status.UNSUPPORTED, detail=detail)
