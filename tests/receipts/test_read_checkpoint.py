import base64

import pytest

from receipts.checkpoint import Checkpoint, CheckpointError, parse, parse_decimal

ROOT = bytes(range(32))
BASE64 = base64.b64encode(ROOT).decode()


def test_a_checkpoint_is_three_lines():
    text = Checkpoint("lucid.example/log/acme", 7, ROOT).text()
    assert text == f"lucid.example/log/acme\n7\n{BASE64}\n"


@pytest.mark.parametrize("size", [0, 1, 2**63 - 1])
def test_a_checkpoint_reads_back(size):
    checkpoint = Checkpoint("origin", size, ROOT)
    assert parse(checkpoint.text()) == checkpoint


def test_extension_lines_pass_and_are_reported():
    checkpoint = parse(f"origin\n7\n{BASE64}\nmore\nand more\n")
    assert checkpoint.extensions == ("more", "and more")
    assert parse(checkpoint.text()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "origin\n",
        "origin\n7\n",
        f"origin\n7\n{BASE64}",
        f"\n7\n{BASE64}\n",
        f"origin\n07\n{BASE64}\n",
        f"origin\n+7\n{BASE64}\n",
        f"origin\n-1\n{BASE64}\n",
        f"origin\n\u0667\n{BASE64}\n",
        f"origin\n 7\n{BASE64}\n",
        f"origin\n\n{BASE64}\n",
        f"origin\n{2**63}\n{BASE64}\n",
        f"origin\n{'9' * 5000}\n{BASE64}\n",
        "origin\n7\nAAAA\n",
        f"origin\n7\n{BASE64[:-1]}\n",
        f"origin\n7\n{BASE64[:-2]}9=\n",
        f"origin\n7\n{BASE64}\n\n",
        f"origin\n7\n{BASE64}\nmore\n\n",
        f"origin\r\n7\r\n{BASE64}\r\n",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(CheckpointError):
        parse(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 7, ROOT),
        ("two\nlines", 7, ROOT),
        ("origin", -1, ROOT),
        ("origin", 2**63, ROOT),
        ("origin", True, ROOT),
        ("origin", 7, b"short"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(origin, size, root):
    with pytest.raises(CheckpointError):
        Checkpoint(origin, size, root)


@pytest.mark.parametrize("text", ["", "00", "1_000", "1e3", "9223372036854775808"])
def test_a_decimal_has_one_spelling(text):
    with pytest.raises(ValueError, match="decimal"):
        parse_decimal(text)
