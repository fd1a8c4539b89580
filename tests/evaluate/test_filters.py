"""Answers out of text, with lm-eval's quirks kept."""

from __future__ import annotations

from decimal import Decimal

import pytest

from evaluate.filters import INVALID, exact_match, flexible_extract, json_number, numeric, strict_match

GOLD = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nAltogether 48+24 = <<48+24=72>>72 clips.\n#### 72"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 72", "72"),
        ("so\n#### 72\nand\n#### 73", "72"),  # the first
        ("#### 72.", "72."),
        ("#### 1,234 clips", "1,234"),
        ("#### -5", "-5"),
        ("#### 3.50", "3.50"),
        ("#### ...", "..."),
        ("#### ,", ","),
        ("##### 72", "72"),
        ("#### 1-2", "1"),
        ("#### 72\n", "72"),
        ("#### $18", INVALID),  # no dollar sign is allowed for
        ("####  72", INVALID),  # exactly one space
        ("####72", INVALID),
        ("### 72", INVALID),
        ("####\n72", INVALID),
        ("#### --5", INVALID),
        ("#### \N{MINUS SIGN}5", INVALID),
        ("#### \N{ARABIC-INDIC DIGIT THREE}", INVALID),
        ("The answer is 72", INVALID),
        ("", INVALID),
    ],
)
def test_strict_match_takes_what_follows_the_first_four_hashes(text: str, answer: str) -> None:
    assert strict_match(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("first 1, then 2", "2"),  # the last
        ("#### 72\nor 73", "73"),
        ("It costs $18.00", "$18.00"),
        ("She pays 18.", "18."),
        ("1,234 clips", "1,234"),
        ("7 clips", "7"),
        ("-7 degrees", "-7"),
        ("5-3", "-3"),
        ("18 ...", "..."),  # a trailing ellipsis becomes the answer
        ("18 clips, and so on..", ".."),
        ("18...", "18..."),
        ("18 clips.", "18"),  # one full stop alone does not
        ("18 $$ well", "$$"),
        ("-$5", "-$5"),
        ("$-5", "-5"),
        ("$ 5", "5"),
        ("1e5", "5"),
        ("3/4", "4"),
        ("\\boxed{12}", "12"),
        ("no number.", INVALID),
        ("$", INVALID),
        ("-", INVALID),
        ("", INVALID),
        ("\N{ARABIC-INDIC DIGIT THREE}", INVALID),
    ],
)
def test_flexible_extract_takes_the_last_thing_that_looks_like_a_number(text: str, answer: str) -> None:
    assert flexible_extract(text) == answer


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("72", GOLD),  # the whole gold answer; everything up to `#### ` goes
        ("72.", GOLD),
        ("$72", GOLD),
        ("7,2", GOLD),
        ("#### 72", GOLD),
        (GOLD, GOLD),
        ("#### 1\n#### 72", GOLD),  # greedy: up to the last mark
        ("1,234", "#### 1234"),
        ("1234", "#### 1,234"),
        ("-5", "x\n#### -5"),
        ("ABC", "#### abc"),
    ],
)
def test_exact_match_looks_past_commas_dollars_marks_and_a_final_full_stop(answer: str, reference: str) -> None:
    assert exact_match(answer, reference)
    assert exact_match(reference, answer)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("18.00", "#### 18"),
        ("$18.00", "#### 18"),
        ("18", "#### 18.0"),
        ("018", "#### 18"),
        ("18..", "#### 18"),  # one full stop goes, no more
        ("18 ", "#### 18"),
        ("+18", "#### 18"),
        ("18%", "#### 18"),
        ("...", "#### 18"),
        (INVALID, "#### 18"),
        ("18.\n", "#### 18"),  # `$` finds the full stop before the line break, and the line break stays
        ("", "#### 18"),
    ],
)
def test_exact_match_compares_text_and_not_numbers(answer: str, reference: str) -> None:
    assert not exact_match(answer, reference)


def test_an_answer_in_dollars_and_cents_is_right_for_numeric_alone() -> None:
    response = "She makes $18.00"
    assert flexible_extract(response) == "$18.00"
    assert not exact_match(flexible_extract(response), "#### 18")
    assert numeric(response) == numeric("#### 18")


def test_an_ellipsis_hides_the_answer_from_lm_eval_but_not_from_numeric() -> None:
    response = "It is 72 clips ..."
    assert not exact_match(flexible_extract(response), GOLD)
    assert numeric(response) == 72


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18.00", "18"),
        ("$18.00.", "18"),
        ("1,200", "1200"),
        ("1,200.", "1200"),
        ("1,200,", "1200"),
        ("#### 1,200 out of 3", "1200"),  # the mark wins over the last number
        ("#### 5\n#### 6", "5"),
        ("####  7", "7"),
        ("#### $18", "18"),
        ("-5", "-5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("#### -1,000.50", "-1000.5"),
        ("-0", "0"),
        (".5", "0.5"),
        ("007", "7"),
        ("5%", "5"),
        ("1, 2, 3...", "3"),
        ("3.14159", "3.14159"),
        ("9" * 60, "9" * 60),
        ("9" * 5000 + ".", "9" * 5000),
        ("1" + "0" * 40 + ".5", "1" + "0" * 40 + ".5"),
    ],
)
def test_numeric_reads_a_number_however_it_is_written(text: str, number: str) -> None:
    assert numeric(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "none", "...", "$", "-", ",", "#### ."])
def test_numeric_finds_nothing_where_there_is_no_number(text: str) -> None:
    assert numeric(text) is None


def test_numeric_looks_elsewhere_when_the_mark_is_followed_by_no_number() -> None:
    assert numeric("10 but #### ,") == 10


def test_numeric_takes_the_sign_of_a_difference_for_no_sign() -> None:
    assert numeric("that is 5-3") == 3
    assert numeric("that is 5 - -3") == -3


def test_numeric_tells_huge_numbers_apart_that_floats_would_confuse() -> None:
    assert numeric("9007199254740993") != numeric("9007199254740992")
    assert numeric("1" + "0" * 50) != numeric("1" + "0" * 49 + "1")


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (None, None),
        ("18", 18),
        ("18.00", 18),
        ("-5", -5),
        ("0.5", 0.5),
        ("0.1", 0.1),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740993", "9007199254740993"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1" + "0" * 400 + ".5", "1" + "0" * 400 + ".5"),
    ],
)
def test_json_number_is_exact_and_text_where_json_would_round(
    number: str | None, value: int | float | str | None
) -> None:
    found = json_number(None if number is None else Decimal(number))
    assert found == value
    assert type(found) is type(value)
