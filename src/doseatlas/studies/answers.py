"""How many participants, or countries, gave which answer to a question of the study?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from doseatlas.studies.results import AnswerRow, Receipt
from doseatlas.studies.schema import Answers, Study


def answer_rows(study: Study, receipts: Mapping[str, Receipt], asked: Answers) -> Iterator[AnswerRow]:
    """Yield a row for each question and answer, those that nobody gave too.

    Of countries, one counts for an answer where at least one of its participants gave it, so the answers of a question
    may add up to more than the countries that answered.
    """
    for question in study.questions:
        if asked.questions and question.id not in asked.questions:
            continue
        given = [(r.country, name, r.answers[question.id]) for name, r in receipts.items() if question.id in r.answers]
        place = 1 if asked.of == "participants" else 0
        answered = len({one[place] for one in given})
        for answer in question.answers:
            count = len({one[place] for one in given if one[2] == answer})
            yield AnswerRow(
                question=question.id,
                text=question.text,
                requirement=question.requirement,
                answer=answer,
                of=asked.of,
                count=count,
                answered=answered,
                share=count / answered if answered else 0.0,
            )
