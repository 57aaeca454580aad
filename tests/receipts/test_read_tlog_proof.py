import base64

import pytest

from receipts.tlog_proof import HEADER, TlogProof, TlogProofError, parse

CHECKPOINT = "origin\n7\nAAAA\n\n— origin AAAAAAA=\n"
HASHES = (bytes(32), bytes(range(32)))
LINES = "".join(f"{base64.b64encode(item).decode()}\n" for item in HASHES)


@pytest.mark.parametrize("proof", [(), HASHES, HASHES * 31])
@pytest.mark.parametrize("extra", [b"", b"anything"])
def test_a_proof_reads_back(proof, extra):
    proof = TlogProof(42, proof, CHECKPOINT, extra)
    assert parse(proof.text()) == proof


def test_a_proof_is_that_of_the_specification():
    text = TlogProof(42, HASHES, CHECKPOINT, b"\0\0\0").text()
    assert text == f"{HEADER}\nextra AAAA\nindex 42\n{LINES}\n{CHECKPOINT}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        f"{HEADER}\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\n{LINES}",
        f"{HEADER}\nindex 1\n{LINES}\n",
        f"c2sp.org/tlog-proof@v2\nindex 1\n{LINES}\n{CHECKPOINT}",
        f" {HEADER}\nindex 1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex 01\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex -1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex {2**63}\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex  1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nIndex 1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\nAAAA\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\n{LINES.replace('=', '')}\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\n{LINES * 32}\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\r\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nextra \nindex 1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nextra AAA\nindex 1\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nindex 1\nextra AAAA\n{LINES}\n{CHECKPOINT}",
        f"{HEADER}\nextra AAAA\nextra AAAA\nindex 1\n{LINES}\n{CHECKPOINT}",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(TlogProofError):
        parse(text)
