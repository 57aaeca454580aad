import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.api.strict_json import MAX_DEPTH, InvalidJSON, loads, without_literals

MAX_INTEGER = 2**53 - 1

numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(
    -1e15, 1e15, allow_nan=False
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5)
    ),
    max_leaves=20,
)


def refusal(data: bytes) -> InvalidJSON:
    with pytest.raises(InvalidJSON) as caught:
        loads(data)
    return caught.value


@given(documents)
def test_it_reads_what_json_writes(document):
    assert loads(json.dumps(document).encode()) == document


@given(st.binary(max_size=60))
def test_it_raises_nothing_but_invalid_json(data):
    with suppress(InvalidJSON):
        loads(data)


@given(documents)
def test_it_reads_the_same_as_json_where_it_reads(document):
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    assert loads(data) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"  ", id="only spaces"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate in UTF-8"),
        pytest.param("1".encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf1", id="byte order mark"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(b"1 2", id="two documents"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b"[1,]", id="trailing comma"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b'"\t"', id="raw control character"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[Infinity]", id="Infinity"),
        pytest.param(b"-Infinity", id="-Infinity"),
        pytest.param(b"1e400", id="beyond a double"),
        pytest.param(b"-1e400", id="below a double"),
        pytest.param(b"9007199254740992", id="2^53"),
        pytest.param(b"-9007199254740992", id="-2^53"),
        pytest.param(b"9007199254740992.0", id="2^53 as a float"),
        pytest.param(b"1e20", id="an integer of 21 digits"),
        pytest.param(b"9" * 5_000, id="5,000 digits"),
        pytest.param(b'"\\ud800"', id="lone surrogate"),
        pytest.param(b'["\\udc00\\ud800"]', id="surrogates the wrong way round"),
        pytest.param(b'{"\\uDFFF": 1}', id="lone surrogate in a name"),
    ],
)
def test_it_refuses(data):
    refusal(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"9007199254740991", MAX_INTEGER),
        (b"-9007199254740991", -MAX_INTEGER),
        (b"1e30", 1e30),
        (b"1e21", 1e21),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'""', ""),
        (b' {"": []}\n', {"": []}),
    ],
)
def test_it_accepts(data, value):
    assert loads(data) == value


def test_it_names_the_duplicate_member():
    assert refusal(b'{"a": {"b": 1, "c": 2, "b": 1}}').field == "b"


def test_it_names_the_path_of_the_offending_member():
    error = refusal(b'{"metrics": {"items": [1, {"tokens": 1e17}]}}')
    assert error.field == "metrics.items.1.tokens"


def test_it_names_no_field_for_a_lone_value():
    assert refusal(b"1e17").field is None


def test_its_message_stands_alone():
    error = refusal(b'{"a": 1, "a": 2}')
    assert error.message == str(error) == "Duplicate member name 'a'."


def test_it_reads_as_deep_as_the_limit():
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(loads(data)).encode() == data


def test_it_refuses_one_level_more():
    data = b'{"a":' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH
    assert "Nested deeper" in refusal(data).message


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_it_survives_a_megabyte_of_openings(opening):
    refusal(opening * (2**20 // len(opening)))


class TestLiterals:
    """Money is read from its digits, never through a float."""

    @pytest.mark.parametrize("text", ["0.1", "1e-3", "0.10", "-0.0", "5.439900000001"])
    def test_a_number_keeps_its_text(self, text):
        (number,) = loads(f"[{text}]".encode(), literal=True)
        assert (number.text, number) == (text, float(text))

    def test_integers_have_no_need_of_it(self):
        assert type(loads(b"[1]", literal=True)[0]) is int

    def test_what_a_double_cannot_hold_is_refused_all_the_same(self):
        with pytest.raises(InvalidJSON, match="range of a double"):
            loads(b"[1e999]", literal=True)

    @given(documents)
    def test_without_them_a_document_is_as_if_read_plainly(self, document):
        data = json.dumps(document).encode()
        plain = without_literals(loads(data, literal=True))
        assert json.dumps(plain) == json.dumps(loads(data))
