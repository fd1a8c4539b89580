"""Samples are known by their content."""

from __future__ import annotations

import hashlib

import pytest

from evaluate.sample import Sample

ROW = {"question": "How many?", "answer": "#### 3", "meta": {"b": 1, "a": [1, 2]}}


def test_the_id_is_a_hash_of_the_canonical_json() -> None:
    digest = hashlib.sha256(b'{"a":1,"b":"\xc3\xbc"}').hexdigest()
    assert Sample.of(0, {"b": "ü", "a": 1}).sample_id == digest[:16]


def test_neither_position_nor_order_of_columns_changes_the_id() -> None:
    turned = {"meta": {"a": [1, 2], "b": 1}, "answer": "#### 3", "question": "How many?"}
    assert Sample.of(7, turned).sample_id == Sample.of(0, ROW).sample_id
    assert Sample.of(7, turned).idx == 7


@pytest.mark.parametrize(
    "change",
    [
        {"question": "How many ?"},
        {"answer": "#### 4"},
        {"meta": {"b": 1, "a": [2, 1]}},
        {"meta": None},
        {"level": 1},
    ],
)
def test_any_change_of_content_changes_the_id(change: dict[str, object]) -> None:
    assert Sample.of(0, {**ROW, **change}).sample_id != Sample.of(0, ROW).sample_id


def test_a_number_and_its_text_are_different_content() -> None:
    assert Sample.of(0, {"a": 1}).sample_id != Sample.of(0, {"a": "1"}).sample_id


def test_values_that_json_does_not_know_are_hashed_as_text() -> None:
    assert Sample.of(0, {"a": 1 + 2j}).sample_id == Sample.of(0, {"a": "(1+2j)"}).sample_id
