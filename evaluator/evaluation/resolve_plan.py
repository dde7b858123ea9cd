"""The plan of a run: which model, image, cases and protocol, before the data are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.containers.engines import open_engine
from evaluator.datasets import load_dataset
from evaluator.datasets.load import choose_cases, limit_subjects
from evaluator.evaluation.case_order import shuffled
from evaluator.evaluation.plan import Plan, choose_options
from evaluator.evaluation.prompt_cache import replay_hash
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.names import open_run
from evaluator.scoring.applicability import check_metrics
from evaluator.zoo import find_model
from evaluator.zoo.cards import read_text_prompts
from evaluator.zoo.prepare import find_prepared

if TYPE_CHECKING:
    from evaluator.containers.engines import Engine
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.runs.store import RunStore
    from evaluator.types import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPlan:
    """A plan with what it was made of."""

    #: with an empty digest if the image is not built yet
    plan: Plan
    #: False: the image is built before the run starts
    image_built: bool
    #: None: known only when the image is built
    run_name: str | None
    engine: Engine
    #: all cases of the run, whatever the shard
    cases: tuple[Case, ...]
    #: the run whose prompts are replayed
    replay: RunStore | None


def resolve_plan(config: RunConfig) -> ResolvedPlan:
    """Find model, image, cases and protocol of a run by their names. No image is read.

    Raises:
        UserError: a name, file or choice is wrong; the message says which and what to do.
        EngineUnavailableError: no container engine answers.
    """
    config.require_text()
    zoo_model = find_model(config.model)
    dataset = load_dataset(config.dataset, config.data_root)
    protocol = load_protocol(config.protocol)
    check_metrics(protocol.metrics)
    read_text_prompts(zoo_model.card)
    chosen = shuffled(choose_cases(dataset, config.cases), config.shuffle)
    cases = tuple(limit_subjects(chosen, config.limit))
    replay = open_run(config.prompts) if config.prompts else None
    engine = open_engine(config.engine, config.runtime)
    options = choose_options(zoo_model.card, config.options)
    prepared = find_prepared(zoo_model, engine, weights=config.weights)
    plan = Plan(
        card=prepared.model.card if prepared else zoo_model.card,
        digest=prepared.model.digest if prepared else "",
        dataset=dataset,
        protocol=protocol,
        replay=(replay.name, replay_hash(replay)) if replay else None,
        weights=prepared.identity if prepared else "",
        options=options,
        registered=not config.unregistered,
    )
    return ResolvedPlan(
        plan=plan,
        image_built=prepared is not None,
        run_name=config.name or (plan.run_name if prepared else None),
        engine=engine,
        cases=cases,
        replay=replay,
    )
