"""Identifiers: connection, request and message ids, and trace ids."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.ids import is_well_formed, new_id, new_trace_id

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(min_size=11, max_size=11))
def test_an_id_is_sixteen_characters_safe_in_a_url(entropy: bytes) -> None:
    made = new_id(lambda _size: entropy)
    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", made)
    assert is_well_formed(made)


@given(st.binary(min_size=11, max_size=11), st.binary(min_size=11, max_size=11))
def test_ids_are_the_same_only_where_chance_is(one: bytes, other: bytes) -> None:
    assert (new_id(lambda _: one) == new_id(lambda _: other)) is (one == other)


def test_an_id_takes_eleven_bytes_of_chance() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    assert new_id(entropy) == "AAAAAAAAAAAAAAA="
    assert asked == [11]


@pytest.mark.parametrize(
    "connection_id",
    [
        pytest.param("Qm3xTe7hoAMCKpw=", id="letters and digits"),
        pytest.param("Qm-xT_7hoAMCKpw=", id="a hyphen and an underscore"),
        pytest.param("AAAAAAAAAAAAAAA=", id="zeros"),
        pytest.param("_______________=".replace("_=", "8="), id="ones"),
    ],
)
def test_an_id_of_the_right_form_could_have_existed(connection_id: str) -> None:
    assert is_well_formed(connection_id)


@pytest.mark.parametrize(
    "connection_id",
    [
        pytest.param("", id="nothing"),
        pytest.param("=", id="padding alone"),
        pytest.param("Qm3xTe7hoAMCKpw", id="no padding"),
        pytest.param("Qm3xTe7hoAMCKpwA", id="a letter for the padding"),
        pytest.param("Qm3xTe7hoAMCKp==", id="two of padding"),
        pytest.param("Qm3xTe7hoAMCKpw==", id="one of padding too many"),
        pytest.param("Qm3xTe7hoAMCKpw=\n", id="a line break after it"),
        pytest.param("Qm3xTe7 oAMCKpw=", id="a space"),
        pytest.param("Qm3x=e7hoAMCKpw=", id="padding in the middle"),
        pytest.param("Qm3xTe7hoAMCKpw%3D", id="still percent-encoded"),
        pytest.param("Qm3xTe7hoAMCKpé=", id="a letter outside ASCII"),
        pytest.param("Qm+xTe7hoAMCKpw=", id="a plus, which ids never have"),
        pytest.param("Qm/xTe7hoAMCKpw=", id="a slash, which ids never have"),
        pytest.param("AAAAAAAAAAAAAAB=", id="bits that eleven bytes do not have"),
        pytest.param("kf83hr51aa0000r4h6c8a9d2h", id="an id of something else"),
        pytest.param("b3c1de0a-6a53-4be5-8f3c-0d3f5b0c7a11", id="a UUID"),
    ],
)
def test_an_id_of_another_form_could_not(connection_id: str) -> None:
    assert not is_well_formed(connection_id)


@given(st.text() | st.text(ALPHABET + "+/=", min_size=16, max_size=16))
def test_ids_are_exactly_what_eleven_bytes_can_be(text: str) -> None:
    expected = re.fullmatch(r"[A-Za-z0-9_-]{14}[AEIMQUYcgkosw048]=", text) is not None
    assert is_well_formed(text) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(1_741_082_403_000, "Root=1-67c6cf23-", id="a whole second"),
        pytest.param(1_741_082_403_999, "Root=1-67c6cf23-", id="the end of that second"),
        pytest.param(0, "Root=1-00000000-", id="the epoch, in eight digits"),
    ],
)
def test_a_trace_id_says_when_and_is_else_chance(now: int, expected: str) -> None:
    assert new_trace_id(now, lambda size: b"\x0a" * size) == expected + "0a" * 12
