import math

import pytest
from anomaly_model import EMBEDDING_SIZE, FEATURE_COUNT
from hypothesis import given
from hypothesis import strategies as st
from log_encoding import ERROR, FEATURES, LEVELS, Line, embed, encode, features, template

NOON = 43_200.0
lines_strategy = st.lists(
    st.builds(Line, st.floats(0, 4e9), st.integers(0, len(LEVELS) - 1), st.text()), min_size=1, max_size=6
).map(lambda lines: sorted(lines, key=lambda line: line.time))


def measured(*lines):
    return dict(zip([name for name, _, _ in FEATURES], features(lines), strict=True))


def test_an_embedding_is_a_unit_vector_that_ignores_case_and_numbers():
    first, second = embed("GET /orders/17 took 5 ms"), embed("get /orders/4711 took 80 ms")

    assert first == second
    assert math.hypot(*first) == pytest.approx(1)
    assert len(first) == EMBEDDING_SIZE


def test_lines_that_share_words_lie_closer_than_lines_that_do_not():
    full, nearly, other = map(embed, ["disk is full on node", "disk is nearly full", "user session opened"])

    assert sum(map(float.__mul__, full, nearly)) > sum(map(float.__mul__, full, other))


def test_an_embedding_is_the_same_on_every_machine():
    values = {place: value for place, value in enumerate(embed("disk full")) if value}
    third = 3**-0.5

    assert values == pytest.approx({129: third, 258: -third, 288: third})


def test_a_template_has_no_numbers():
    assert template("worker-12 wrote 0xFF bytes") == ("worker", "#", "wrote", "#", "bytes")


def test_features_of_a_first_line():
    values = measured(Line(NOON, ERROR, "disk 7 full"))

    assert values["severity"] == 0.75
    assert values["digit_share"] == pytest.approx(1 / 11)
    assert (values["gap"], values["novelty"], values["error_share"]) == (1, 1, 1)
    assert (values["hour_sin"], values["hour_cos"]) == pytest.approx((0, -1))


def test_features_look_back_sixty_seconds():
    old = Line(NOON - 60, ERROR, "disk 7 full")
    same = Line(NOON - 30, ERROR, "disk 8 full")
    other = Line(NOON - 3, 1, "all is well")
    values = measured(old, same, other, Line(NOON, ERROR, "disk 9 full"))

    assert values["gap"] == pytest.approx(math.log(4) / math.log(61))
    assert values["rate"] == pytest.approx(math.log(4) / math.log(1025))
    assert values["error_share"] == pytest.approx(2 / 3)
    assert values["novelty"] == 0.5


@given(lines_strategy)
def test_any_lines_encode_to_numbers_between_minus_one_and_one(lines):
    rows = encode(lines, len(lines))

    assert [len(row) for row in rows] == [EMBEDDING_SIZE + FEATURE_COUNT] * len(lines)
    assert all(-1.000001 <= value <= 1.000001 for row in rows for value in row)
