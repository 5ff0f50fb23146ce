"""From who was asked to what is analysed: what remains at each step, and what was left out on the way and why.

The flow diagram of a study after the STROBE statement (von Elm et al., PLoS Med 4 (2007) e296), item 13.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from doseatlas.studies.results import FlowStep, LeftOut, Receipt
from doseatlas.studies.schema import Study


def flow_steps(study: Study, receipts: Mapping[str, Receipt], analysed: Mapping[str, int]) -> tuple[FlowStep, ...]:
    """Return the steps: asked, replied, sent exams, have exams that count, analysed.

    ``analysed`` has the exams that stand in a typical value, by site.
    """
    asked = {one.id for one in study.participants}
    replied = set(receipts)
    first = _step(study, "asked to take part", asked)
    second = _step(study, "replied", replied)
    if not study.exams:
        return _leaving(first, (_sites("no reply", asked - replied),)), second
    sent = {name for name, receipt in receipts.items() if receipt.received}
    counting = {name for name in sent if receipts[name].counted}
    unfit = sent - counting
    received = sum(receipts[name].received for name in sent)
    counted = sum(receipts[name].counted for name in sent)
    by_reason: Counter[str] = Counter()
    for name in sent:
        by_reason.update({one.reason: one.exams for one in receipts[name].left_out})
    site_reason = Counter(max(receipts[name].left_out, key=lambda one: one.exams).reason for name in unfit)
    reasons = [
        LeftOut(reason=reason, exams=exams, sites=site_reason.get(reason, 0))
        for reason, exams in by_reason.most_common()
    ]
    few = counting - set(analysed)
    too_few = LeftOut(
        reason=f"fewer than {study.rules.minimum_exams} exams of one kind and group at the site",
        exams=counted - sum(analysed.values()),
        sites=len(few),
    )
    return (
        _leaving(first, (_sites("no reply", asked - replied),)),
        _leaving(second, (_sites("answers only, no exams", replied - sent),)),
        _leaving(_step(study, "sent exams", sent, received), reasons),
        _leaving(_step(study, "exams that count", counting, counted), (too_few,)),
        _step(study, "analysed", set(analysed), sum(analysed.values())),
    )


def _step(study: Study, label: str, sites: Collection[str], exams: int | None = None) -> FlowStep:
    countries = {one.country for one in study.participants if one.id in sites}
    return FlowStep(label=label, sites=len(sites), countries=len(countries), exams=exams)


def _sites(reason: str, sites: Collection[str]) -> LeftOut:
    return LeftOut(reason=reason, sites=len(sites))


def _leaving(step: FlowStep, left_out: Iterable[LeftOut]) -> FlowStep:
    return FlowStep(
        label=step.label,
        sites=step.sites,
        countries=step.countries,
        exams=step.exams,
        left_out=tuple(one for one in left_out if one.exams or one.sites),
    )
