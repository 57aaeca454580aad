import json
import math
from enum import StrEnum

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from receipts.canonical import CanonicalError, assemble, dumps, fragments
from tests import vectors

MAX_INTEGER = 2**53 - 1

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(
    allow_nan=False, allow_infinity=False
)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5)
    ),
    max_leaves=20,
)


@vectors.needs_vectors
@pytest.mark.parametrize(
    "name", ["arrays", "french", "structures", "unicode", "values", "weird"]
)
class TestPublishedVectors:
    folder = "json-canonicalization/testdata"

    def test_it_writes_the_published_output(self, name):
        document = vectors.read_json(f"{self.folder}/input/{name}.json")
        assert dumps(document) == vectors.read_bytes(
            f"{self.folder}/output/{name}.json"
        )

    def test_it_writes_the_published_bytes(self, name):
        document = vectors.read_json(f"{self.folder}/input/{name}.json")
        written = vectors.read_bytes(f"{self.folder}/outhex/{name}.txt")
        assert dumps(document) == bytes.fromhex(written.decode())

    def test_it_leaves_canonical_json_as_it_is(self, name):
        output = vectors.read_bytes(f"{self.folder}/output/{name}.json")
        assert dumps(json.loads(output)) == output


@given(documents)
@example({"\ufb33": 1, "\U0001f600": 2})
@example({"a b": 1, 'a"': 2, "\x00": 3, "": 4})
def test_it_writes_what_another_implementation_writes(document):
    assert dumps(document) == rfc8785.dumps(document)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_it_writes_a_float_that_reads_back(number):
    assert float(dumps(number)) == number


@pytest.mark.parametrize(
    ("number", "written"),
    [
        # RFC 8785 appendix B
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (-5e-324, "-5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (0.000001, "0.000001"),
        (333333333.3333332, "333333333.3333332"),
        (0.1, "0.1"),
        (100.0, "100"),
    ],
)
def test_it_lays_numbers_out_as_ecmascript_does(number, written):
    assert dumps(number).decode() == written


def test_it_sorts_names_by_utf_16_code_units():
    # U+1F600 is d83d de00 in UTF-16: before U+FB33, though the code point is after.
    assert list(json.loads(dumps({"\ufb33": 1, "\U0001f600": 2}))) == [
        "\U0001f600",
        "\ufb33",
    ]


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        10**400,
        "\ud800",
        {"\ud800": 1},
        {"\ud800": 1, "\U0001f600": 2},
        {1: "a"},
        {None: "a", "b": 1},
        {Colour.RED: 1},
        Colour.RED,
        (1, 2),
        b"bytes",
        {1, 2},
        1j,
        [{"a": [math.nan]}],
    ],
    ids=repr,
)
def test_it_refuses(value):
    with pytest.raises(CanonicalError):
        dumps(value)


def test_it_refuses_a_value_that_holds_itself():
    value: list[object] = []
    value.append(value)
    with pytest.raises(CanonicalError):
        dumps(value)


members = st.dictionaries(texts, documents, max_size=5)


@given(members, members)
def test_members_are_written_once_for_two_objects(some, others):
    written = fragments(some)
    assert assemble(written) == dumps(some)
    assert assemble(written | fragments(others)) == dumps(some | others)
