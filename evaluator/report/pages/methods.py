"""Methods: prompts, scores and comparisons, as text for a paper, with references."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.analysis.comparison.schema import FRAMES
from evaluator.manifests.organs import load_organs
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.tables import Cell, Column, Table

if TYPE_CHECKING:
    from evaluator.report.context import Report

#: name -> entry in the list of references
REFERENCES = {
    "umd": "The UMD paper, arXiv 2602.07643.",
    "reloaded": (
        "Maier-Hein L, Reinke A, et al. Metrics reloaded: recommendations for image analysis "
        "validation. Nat Methods 2024;21:195–212. arXiv 2206.01653."
    ),
    "pitfalls": (
        "Reinke A, Tizabi MD, et al. Understanding metric-related pitfalls in image analysis "
        "validation. Nat Methods 2024;21:182–194. arXiv 2302.01790."
    ),
    "nikolov": (
        "Nikolov S, et al. Clinically applicable segmentation of head and neck anatomy for "
        "radiotherapy. J Med Internet Res 2021;23:e26151. arXiv 1809.04430."
    ),
    "bca": "Efron B. Better bootstrap confidence intervals. J Am Stat Assoc 1987;82:171–185.",
    "hesterberg": (
        "Hesterberg TC. What teachers should know about the bootstrap. Am Stat 2015;69:371–386."
    ),
    "wilson": (
        "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am "
        "Stat Assoc 1927;22:209–212."
    ),
    "berger": (
        "Berger RL. Multiparameter hypothesis testing and acceptance sampling. Technometrics "
        "1982;24:295–300."
    ),
    "mover": (
        "Zou GY, Donner A. Construction of confidence limits about effect measures: a general "
        "approach. Stat Med 2008;27:1693–1702."
    ),
    "fisher": "Fisher RA. The design of experiments. Edinburgh: Oliver and Boyd, 1935.",
    "wilcoxon": (
        "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1945;1:80–83."
    ),
    "pratt": (
        "Pratt JW. Remarks on zeros and ties in the Wilcoxon signed rank procedures. J Am Stat "
        "Assoc 1959;54:655–667."
    ),
    "holm": (
        "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat "
        "1979;6:65–70."
    ),
    "hodges": (
        "Hodges JL, Lehmann EL. Estimates of location based on rank tests. Ann Math Stat "
        "1963;34:598–611."
    ),
    "kerby": (
        "Kerby DS. The simple difference formula: an approach to teaching nonparametric "
        "correlation. Compr Psychol 2014;3:11.IT.3.1."
    ),
    "tost": (
        "Schuirmann DJ. A comparison of the two one-sided tests procedure and the power "
        "approach for assessing the equivalence of average bioavailability. J Pharmacokinet "
        "Biopharm 1987;15:657–680."
    ),
    "bland": (
        "Bland JM, Altman DG. Statistical methods for assessing agreement between two methods "
        "of clinical measurement. Lancet 1986;327:307–310."
    ),
    "ranking": (
        "Wiesenfarth M, et al. Methods and open-source toolkit for analyzing and visualizing "
        "challenge results. Sci Rep 2021;11:2369."
    ),
    "okabe": "Okabe M, Ito K. Color universal design. 2008. jfly.uni-koeln.de/color.",
}


def make(report: Report) -> Page:
    """Make one page for all benchmarks."""
    return Page(
        file="methods.html",
        nav="methods.html",
        title="Methods",
        short="Methods",
        template="methods.html",
        context={
            "benchmarks": report.benchmarks,
            "unregistered": report.unregistered,
            "not_isolated": sum(not run.isolates for run in report.results.runs),
            "random": sorted({run.label for run in report.results.runs if run.random_weights}),
            "metrics": report.site.table(_metrics(report)),
            "tolerances": report.site.table(_tolerances(report)),
            "citations": _citations(report),
            "references": list(REFERENCES.items()),
            "number": {name: n for n, name in enumerate(REFERENCES, start=1)},
            "comparison": report.comparison,
            "margins": dict(report.comparison.margins),
            "keep_ids": report.options.keep_ids,
            "frames": FRAMES,
        },
    )


def _metrics(report: Report) -> Table:
    declared: set[str] = set()
    for benchmark in report.benchmarks:
        declared.update(benchmark.protocol.metrics)
    rows = [
        [
            Cell(text=METRICS[name].title),
            Cell(text=METRICS[name].definition),
            Cell(text=METRICS[name].unit or "none"),
            Cell(text="0" if METRICS[name].signed else METRICS[name].direction),
            Cell(text=METRICS[name].source),
        ]
        for name in METRICS
        if name in declared
    ]
    titles = ("metric", "definition", "unit", "better", "source")
    columns = [Column(title=title, words=True) for title in titles]
    return Table(
        name="metrics", title="Metrics", columns=columns, rows=rows, data=_plain(titles, rows)
    )


def _tolerances(report: Report) -> Table:
    organs = load_organs()
    rows = []
    targets: dict[str, None] = {}
    for benchmark in report.benchmarks:
        targets.update(dict.fromkeys(benchmark.targets))
    for target in targets:
        tolerance = f"{organs.tolerance_mm(target):g}"
        rows.append([Cell(text=target), Cell(text=tolerance), Cell(text=organs.source(target))])
    titles = ("target", "tolerance, mm", "source")
    columns = [Column(title=title, words=n != 1) for n, title in enumerate(titles)]
    note = "If a protocol defines one tolerance for all targets, it is stated above instead."
    return Table(
        name="tolerances",
        title="Tolerances of NSD",
        note=note,
        columns=columns,
        rows=rows,
        data=_plain(titles, rows),
    )


def _plain(titles: tuple[str, ...], rows: list[list[Cell]]) -> pd.DataFrame:
    texts = []
    for row in rows:
        texts.append([cell.text for cell in row])
    return pd.DataFrame(texts, columns=list(titles))


def _citations(report: Report) -> list[tuple[str, str]]:
    """Return the citations that model cards and datasets declare, by title."""
    runs = report.results.runs
    citations = [(run.title, run.card.get("umd.citation", "")) for run in runs]
    citations += [(run.dataset_title, run.info.dataset.citation) for run in runs]
    return [(name, citation) for name, citation in dict.fromkeys(citations) if citation]
