from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.studies import StudyError, load_study, template_names, template_text

SOUND = """
schema = 1
id = "a-study"
title = "A study"
question = "How much?"
source = "made up"
period = { since = "2025-01", until = "2025-03" }
exams = [{ id = "head", name = "Head", procedures = ["ct-head"], phantom_cm = 16 }]
groups = [{ id = "adult", name = "Adults", patient_group = "adult" }]
variables = [{ column = "dlp_mgy_cm", required = true }]
questions = [{ id = "q", text = "Is it so?", answers = ["yes", "no"] }]
participants = [
  { id = "a", country = "JP" }, { id = "b", country = "JP" }, { id = "c", country = "KE" },
]
[[results]]
kind = "variation"
quantity = "dlp_mgy_cm"
"""


def problems(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = SOUND
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert caught.value.problems
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("name", template_names())
def test_every_shipped_template_is_sound(tmp_path: Path, name: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(template_text(name), encoding="utf-8")
    assert load_study(file).id == name


def test_the_study_that_these_tests_change_is_sound(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(SOUND)
    assert load_study(tmp_path / "study.toml").columns == ("dlp_mgy_cm",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"ct-head"', '"ct-haed"', "exams, 'head': there is no standard procedure 'ct-haed'; near it: ct-head"),
        ('procedures = ["ct-head"]', "procedures = []", "exams, 'head': name at least one standard procedure"),
        ('"ct-head"]', '"mg-screening"]', "exams, 'head': "),
        (
            'patient_group = "adult"',
            'patient_group = "adults"',
            "groups, 'adult': no patient group 'adults'; near it: adult",
        ),
        ('until = "2025-03"', 'until = "2024-03"', "period: until 2024-03 is before since 2025-01"),
        ('until = "2025-03"', 'until = "2025-13"', "period.until: "),
        ("required = true", "low = 9, high = 3", "variables, 'dlp_mgy_cm': low 9 is not below high 3"),
        ("required = true", "high = nan", "variables, 'dlp_mgy_cm': high nan is no limit"),
        ("required = true", "low = -inf, high = 3", "variables, 'dlp_mgy_cm': low -inf is no limit"),
        (
            "required = true",
            "low = 1e9",
            "'dlp_mgy_cm': low 1e+09 is not below high 20000, the high of the reference, as the study gives none",
        ),
        ('answers = ["yes", "no"]', 'answers = ["yes"]', "questions, 'q': give at least two different answers"),
        (
            'quantity = "dlp_mgy_cm"',
            'quantity = "ctdi_vol_mgy"',
            "results, number 1: needs ctdi_vol_mgy, which is not among",
        ),
        ('quantity = "dlp_mgy_cm"', 'quantity = "dose"', "results[0].quantity: Invalid enum value 'dose'"),
        ('kind = "variation"', 'kind = "variety"', "results[0].kind: Invalid value 'variety'"),
        ("phantom_cm = 16", "phantom_cm = 20", "exams[0].phantom_cm: Invalid enum value 20"),
        ("phantom_cm = 16", "phantom = 16", "exams[0]: Object contains unknown field `phantom`"),
        ('id = "c"', 'id = "a"', "participants: 'a' stands there 2 times"),
        ("schema = 1", "schema = 2", "schema: Invalid enum value 2"),
        (
            "schema = 1",
            "schema = 1\nrules = { minimum_exams = 3 }",
            "rules.minimum_exams 3 contradicts disclosure.minimum_exams 5",
        ),
        (
            "schema = 1",
            "schema = 1\ndisclosure = { minimum_sites = 4 }",
            "disclosure.minimum_sites 4 contradicts participants",
        ),
        (
            'kind = "variation"\nquantity = "dlp_mgy_cm"',
            'kind = "answers"\nquestions = ["p"]',
            "there is no question 'p'",
        ),
        ('kind = "variation"', 'kind = "phases"\nexam = "chest"', "there is no exam 'chest' in this study"),
        ('kind = "variation"', 'kind = "phases"\nexam = "head"', "needs phase_count, which is not among the variables"),
        ('kind = "variation"', 'kind = "adult-protocol"', "needs adult_protocol_on_child"),
        ('[[results]]\nkind = "variation"\nquantity = "dlp_mgy_cm"', "", "results: name at least one"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in problems(tmp_path, (old, new))


def test_bands_that_overlap_lie_reversed_or_mix_age_and_weight_are_told(tmp_path: Path) -> None:
    one = '{ id = "adult", name = "Adults", patient_group = "adult" }'
    young = '{ id = "young", name = "Young", parameter = "age_years", low = 0, high = 6 }'
    old = '{ id = "old", name = "Old", parameter = "age_years", low = 5, high = 15 }'
    light = '{ id = "light", name = "Light", parameter = "weight_kg", low = 5, high = 15 }'
    endless = '{ id = "e", name = "E", parameter = "age_years", low = 5, high = inf }'
    nowhere = '{ id = "n", name = "N", parameter = "age_years", low = nan, high = 5 }'
    reversed_ = '{ id = "r", name = "R", parameter = "age_years", low = 5, high = 1 }'
    asked = ("variables = [", 'variables = [{ column = "age_years" }, { column = "weight_kg" }, ')
    assert "'young' and 'old': the bands overlap" in problems(tmp_path, (one, f"{young}, {old}"), asked)
    assert "one is by age, one by weight" in problems(tmp_path, (one, f"{young}, {light}"), asked)
    assert "low 5.0 and high 1.0 are no band" in problems(tmp_path, (one, reversed_), asked)
    assert "low 5.0 and high inf are no band" in problems(tmp_path, (one, endless), asked)
    assert "low nan and high 5.0 are no band" in problems(tmp_path, (one, nowhere), asked)
    assert "use one kind" in problems(tmp_path, (one, f"{one}, {young}"), asked)
    assert "is by age_years, which is not among the variables" in problems(tmp_path, (one, young))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path, ('"ct-head"', '"ct-x"'), ('until = "2025-03"', 'until = "2024-03"'), ('id = "c"', 'id = "a"')
    )
    assert len(told.splitlines()) >= 3


def test_two_exams_that_claim_one_procedure_contradict_each_other(tmp_path: Path) -> None:
    second = '{ id = "head", name = "Head", procedures = ["ct-head"], phantom_cm = 16 }'
    both = second + ', { id = "again", name = "Again", procedures = ["ct-head"] }'
    assert "'ct-head' belongs to 'head' too" in problems(tmp_path, (second, both))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"id = ", b"[[[[", b'schema = 1\nid = "x"', b"a" * 5_000_000])
def test_a_file_that_is_no_study_is_told_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "study.toml").write_bytes(content)
    with pytest.raises(StudyError, match=r"study\.toml"):
        load_study(tmp_path / "study.toml")


@given(st.integers(0, len(SOUND) - 1), st.text(max_size=6))
def test_a_changed_study_is_sound_or_refused_and_never_raises_anything_else(
    scratch: Path, place: int, typed: str
) -> None:
    scratch.write_text(SOUND[:place] + typed + SOUND[place + len(typed) :], encoding="utf-8", errors="replace")
    try:
        load_study(scratch)
    except StudyError:
        return


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "study.toml"
