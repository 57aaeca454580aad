"""The verifier on bundles: what was tampered with, and zips that are none."""

import io
import json
import struct
import zipfile
from dataclasses import replace

import pytest

from receipts import canonical, manifest
from receipts.bundle_files import MAX_FILES, open_bundle
from receipts.bundle_verifier import OTHER_PROGRAM, verify_bundle
from receipts.checkpoint import Checkpoint
from receipts.ed25519 import Signer
from receipts.key_set import from_jwks
from receipts.note import VerifierKey
from receipts.verifier import Verdict
from receipts.verifier_command import main
from tests.receipts.bundles import (
    INDEXES,
    LOG,
    bundle,
    packed,
    resealed,
    unpack_into,
    unpacked,
)
from tests.receipts.small_log import LOG_KEY, ORIGIN, SmallLog, body, receipt_key, seal

GOOD = unpacked(bundle())
STEPS = ["manifest", "signature", "files", "checkpoint", "key_set", "receipts"]


@pytest.fixture
def check(tmp_path):
    """Verify files, or bytes, as a zip and, where it can be unpacked, as a folder."""

    def verified(given, *pinned, **options):
        path = tmp_path / "evidence.zip"
        path.write_bytes(given if isinstance(given, bytes) else packed(given))
        result = verify_bundle(path, *pinned, **options)
        if not isinstance(given, bytes):
            folder = tmp_path / "evidence"
            unpack_into(folder, packed(given))
            assert verify_bundle(folder, *pinned, **options) == result
        return result

    return verified


class TestAGoodBundle:
    def test_it_is_valid_step_by_step(self, check):
        result = check(GOOD)
        assert result.verdict is Verdict.VALID
        assert [step.name for step in result.steps] == STEPS
        assert (result.receipts, result.verdicts) == (3, {"VALID": 3})
        assert result.bad == ()

    def test_what_was_not_pinned_is_said(self, check):
        assert [note.partition(" was")[0] for note in check(GOOD).notes] == [
            "The log's key",
            "The origin",
            "The receipt keys were not pinned: taken from the bundle itself.",
        ]

    def test_everything_can_be_pinned(self, check):
        result = check(GOOD, [LOG_KEY], from_jwks(LOG.jwks()), ORIGIN)
        assert (result.verdict, result.notes) == (Verdict.VALID, ())

    def test_another_log_key_than_the_pinned_one_is_unknown(self, check):
        other = VerifierKey.of(ORIGIN, Signer(bytes(32)).public_key)
        result = check(GOOD, [other])
        assert result.verdict is Verdict.UNKNOWN_KEY
        assert result.steps[-1].name == "signature"

    def test_another_origin_than_the_pinned_one_is_invalid(self, check):
        result = check(GOOD, [LOG_KEY], None, "lucid.example/log/globex")
        assert (result.verdict, result.field) == (Verdict.INVALID, "origin")

    def test_a_receipt_key_that_is_not_pinned_is_unknown(self, check):
        result = check(GOOD, [LOG_KEY], [])
        assert result.verdict is Verdict.UNKNOWN_KEY
        assert result.verdicts == {"UNKNOWN_KEY": 3}

    def test_a_pinned_revocation_counts(self, check):
        keys = SmallLog(keys=(receipt_key(last=2, status="revoked"),)).jwks()
        result = check(GOOD, [LOG_KEY], from_jwks(keys))
        assert result.verdict is Verdict.KEY_REVOKED
        assert result.verdicts == {"VALID": 1, "KEY_REVOKED": 2}

    def test_a_verifier_of_another_version_is_said(self, check):
        result = check(GOOD, program=b"print('VALID')\n")
        assert (result.verdict, result.notes[-1]) == (Verdict.VALID, OTHER_PROGRAM)
        assert OTHER_PROGRAM not in check(GOOD, program=GOOD["verify.py"]).notes


def changed(name, old=None, new=None):
    """The good files with one of them changed: its last byte, if not told otherwise."""
    data = GOOD[name]
    if old is None:
        return GOOD | {name: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]}
    assert old in data
    return GOOD | {name: data.replace(old, new)}


class TestTamperedFiles:
    """Without the log's key at hand."""

    @pytest.mark.parametrize(
        "name", sorted(set(GOOD) - {manifest.MANIFEST, manifest.SIGNATURE})
    )
    def test_each_file_is_as_the_manifest_says_or_is_named(self, check, name):
        result = check(changed(name))
        assert (result.verdict, result.field) == (Verdict.INVALID, name)
        assert result.expected != result.found

    @pytest.mark.parametrize("name", sorted(set(GOOD) - {manifest.SIGNATURE}))
    def test_each_file_is_missed(self, check, name):
        files = {n: data for n, data in GOOD.items() if n != name}
        result = check(files)
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    @pytest.mark.parametrize("name", ["receipts/2.json", "proofs/2.tlog-proof"])
    def test_an_added_file_is_named(self, check, name):
        result = check(GOOD | {name: b"{}"})
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    @pytest.mark.parametrize(
        "name", ["extra.txt", "receipts/01.json", "receipts/1.JSON", "nacl.py"]
    )
    def test_a_file_that_no_bundle_has_is_named(self, check, name):
        result = check(GOOD | {name: b""})
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    def test_a_swapped_verifier_is_named(self, check):
        result = check(GOOD | {"verify.py": b"print('VALID')\n"})
        assert (result.verdict, result.field) == (Verdict.INVALID, "verify.py")

    def test_a_changed_manifest_is_not_what_was_signed(self, check):
        result = check(changed(manifest.MANIFEST, b"gpt-4o", b"gpt-5o"))
        assert (result.verdict, result.field) == (Verdict.INVALID, manifest.MANIFEST)

    def test_a_changed_signature_is_invalid(self, check):
        note = GOOD[manifest.SIGNATURE]
        broken = note[:-10] + (b"A" if note[-10:-9] != b"A" else b"B") + note[-9:]
        result = check(GOOD | {manifest.SIGNATURE: broken})
        assert (result.verdict, result.field) == (Verdict.INVALID, "signature")

    def test_no_signature_is_unsigned(self, check):
        files = {n: data for n, data in GOOD.items() if n != manifest.SIGNATURE}
        result = check(files)
        expected = (Verdict.UNSIGNED, manifest.SIGNATURE)
        assert (result.verdict, result.field) == expected

    def test_a_checkpoint_is_no_signature_of_a_manifest(self, check):
        result = check(GOOD | {manifest.SIGNATURE: LOG.checkpoint().encode()})
        assert (result.verdict, result.field) == (Verdict.INVALID, "signature")


class TestAHostileOperator:
    """Who signs a manifest of whatever there is."""

    def test_a_changed_entry_is_found(self, check):
        name = manifest.receipt_name(3)
        result = check(resealed(changed(name, b"vllm", b"sglg")))
        assert result.verdict is Verdict.INVALID
        assert result.field == f"{name}: receipt_hash"
        assert result.verdicts == {"VALID": 2, "INVALID": 1}
        assert [bad.file for bad in result.bad] == [name]

    def test_an_entry_signed_anew_is_not_in_the_log(self, check):
        name = manifest.receipt_name(3)
        forged = canonical.dumps(seal(body(3) | {"runtime": "other"}))
        result = check(resealed(GOOD | {name: forged}))
        assert result.verdict is Verdict.NOT_IN_LOG
        assert result.field == f"{name}: inclusion"

    def test_an_entry_in_another_spelling_is_not_the_leaf(self, check):
        name = manifest.receipt_name(3)
        spelled = json.dumps(json.loads(GOOD[name])).encode()
        result = check(resealed(GOOD | {name: spelled}))
        assert (result.verdict, result.field) == (Verdict.INVALID, f"{name}: receipt")

    def test_an_entry_has_no_extras(self, check):
        name = manifest.receipt_name(3)
        more = canonical.dumps(LOG.receipt(3))
        result = check(resealed(GOOD | {name: more}))
        assert (result.verdict, result.field) == (
            Verdict.INVALID,
            f"{name}: _mmr_leaf_index",
        )

    def test_an_entry_without_signature_is_unsigned(self, check):
        name = manifest.receipt_name(3)
        members = json.loads(GOOD[name]) | {"receipt_signature": ""}
        result = check(resealed(GOOD | {name: canonical.dumps(members)}))
        assert result.verdict is Verdict.UNSIGNED

    def test_nothing_that_is_signed_is_never_valid(self, check):
        files = dict(GOOD)
        for index in INDEXES:
            members = json.loads(files[manifest.receipt_name(index)])
            members["receipt_signature"] = ""
            files[manifest.receipt_name(index)] = canonical.dumps(members)
        result = check(resealed(files))
        assert result.verdict is Verdict.UNSIGNED
        assert result.verdicts == {"UNSIGNED": 3}

    def test_the_proof_of_another_leaf_is_found(self, check):
        name = manifest.proof_name(3)
        result = check(resealed(GOOD | {name: GOOD[manifest.proof_name(1)]}))
        assert result.verdict is Verdict.NOT_IN_LOG

    def test_a_receipt_under_another_index_is_found(self, check):
        files = {n: data for n, data in GOOD.items() if "3." not in n}
        files[manifest.receipt_name(4)] = GOOD[manifest.receipt_name(3)]
        files[manifest.proof_name(4)] = GOOD[manifest.proof_name(3)]
        result = check(resealed(files))
        assert (result.verdict, result.field) == (
            Verdict.INVALID,
            f"{manifest.receipt_name(4)}: index",
        )

    def test_a_receipt_without_its_proof_is_found(self, check):
        files = {n: data for n, data in GOOD.items() if n != manifest.proof_name(3)}
        result = check(resealed(files))
        assert (result.verdict, result.field) == (
            Verdict.INVALID,
            manifest.proof_name(3),
        )

    def test_a_receipt_that_is_counted_and_not_there_is_found(self, check):
        files = {n: data for n, data in GOOD.items() if "3." not in n}
        result = check(resealed(files))
        assert (result.verdict, result.field) == (Verdict.INVALID, "counts.receipts")

    def test_no_receipt_at_all_is_never_valid(self, check):
        files = {n: data for n, data in GOOD.items() if "/" not in n}
        result = check(resealed(files, counts={"receipts": 0}))
        assert (result.verdict, result.field) == (Verdict.INVALID, "receipts")

    def test_two_trees_of_one_size_are_inconsistent(self, check):
        other = SmallLog(entries=[*LOG.entries[:-1], seal(body(99))])
        files = GOOD | {manifest.proof_name(3): other.tlog_proof(3).encode()}
        result = check(resealed(files))
        assert result.verdict is Verdict.INCONSISTENT
        assert result.field == f"{manifest.receipt_name(3)}: root"

    def test_a_proof_of_another_size_is_not_of_the_checkpoint(self, check):
        other = SmallLog(entries=LOG.entries[:5])
        files = GOOD | {manifest.proof_name(3): other.tlog_proof(3).encode()}
        result = check(resealed(files))
        assert (result.verdict, result.field) == (
            Verdict.INVALID,
            f"{manifest.receipt_name(3)}: checkpoint",
        )

    def test_a_checkpoint_is_of_the_size_that_the_manifest_says(self, check):
        other = SmallLog(entries=LOG.entries[:5]).checkpoint().encode()
        result = check(resealed(GOOD | {manifest.CHECKPOINT: other}))
        assert (result.verdict, result.field) == (Verdict.INVALID, "size")

    def test_a_checkpoint_of_another_log_is_found(self, check):
        other = SmallLog(origin="lucid.example/log/globex")
        files = GOOD | {manifest.CHECKPOINT: other.checkpoint().encode()}
        result = check(resealed(files), [LOG_KEY])
        assert result.verdict is Verdict.UNKNOWN_KEY

    def test_a_key_set_of_another_key_is_unknown(self, check):
        other = SmallLog(signer=Signer(bytes(32)))
        files = GOOD | {manifest.KEY_SET: other.signed(LOG.key_set().text()).encode()}
        result = check(resealed(files))
        assert (result.verdict, result.field) == (Verdict.UNKNOWN_KEY, "key_set")

    def test_a_key_set_is_as_old_as_the_checkpoint(self, check):
        files = GOOD | {
            manifest.KEY_SET: LOG.signed(LOG.key_set(3).text()).encode(),
        }
        result = check(resealed(files))
        assert (result.verdict, result.field) == (Verdict.INVALID, manifest.KEY_SET)

    def test_the_jwks_has_the_keys_that_are_signed(self, check):
        other = SmallLog(keys=(receipt_key(last=3, status="retired"),)).jwks()
        result = check(resealed(GOOD | {manifest.JWKS: json.dumps(other).encode()}))
        assert (result.verdict, result.field) == (Verdict.INVALID, manifest.JWKS)

    def test_a_manifest_that_names_no_readme_is_of_no_bundle(self, check):
        files = {n: data for n, data in GOOD.items() if n != manifest.README}
        result = check(resealed(files))
        assert (result.verdict, result.field) == (Verdict.INVALID, manifest.README)

    @pytest.mark.parametrize(
        "members",
        [
            {"schema_version": "2.0"},
            {"kind": "receipts"},
            {"log": {}},
            {"log": []},
            {"counts": None},
            {"counts": {"receipts": "3"}},
            {"made_at": 5},
        ],
    )
    def test_a_manifest_of_another_form_is_invalid(self, check, members):
        result = check(resealed(GOOD, **members))
        assert (result.verdict, result.field) == (Verdict.INVALID, "manifest")

    @pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'{"a":1,"a":1}', b"1"])
    def test_what_is_no_manifest_is_invalid(self, check, text):
        result = check(GOOD | {manifest.MANIFEST: text})
        assert result.verdict is Verdict.INVALID

    @pytest.mark.parametrize("name", sorted(set(GOOD) - {manifest.MANIFEST}))
    @pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\n\n", b"[]", b"{}"])
    def test_no_file_makes_it_fail(self, check, name, data):
        files = GOOD | {name: data}
        if name != manifest.SIGNATURE:
            files = resealed(files)
        result = check(files)
        is_prose = name in (manifest.README, manifest.VERIFIER)
        assert (result.verdict is Verdict.VALID) == is_prose


class TestRevokedKeys:
    def test_a_receipt_key_that_was_revoked_before(self, check):
        log = SmallLog(keys=(receipt_key(last=2, status="revoked"),))
        result = check(unpacked(bundle(log)))
        assert result.verdict is Verdict.KEY_REVOKED
        assert result.verdicts == {"VALID": 1, "KEY_REVOKED": 2}
        assert [bad.file for bad in result.bad] == [
            "receipts/3.json",
            "receipts/6.json",
        ]

    def test_the_first_bad_verdict_is_that_of_all(self, check):
        log = SmallLog(keys=(receipt_key(last=2, status="revoked"),))
        files = unpacked(bundle(log))
        name = manifest.receipt_name(1)
        files[name] = files[name].replace(b"vllm", b"sglg")
        result = check(resealed(files, log))
        assert (result.verdict, result.field) == (
            Verdict.INVALID,
            f"{name}: receipt_hash",
        )
        assert result.verdicts == {"INVALID": 1, "KEY_REVOKED": 2}

    def test_a_log_key_that_was_revoked_before_the_checkpoint(self, check):
        revoked = receipt_key(LOG.signer, last=3, status="revoked")
        log_key = LOG.jwk(revoked) | {"purpose": "checkpoint"}
        jwks = {"keys": [*LOG.jwks()["keys"], log_key]}
        result = check(unpacked(bundle(jwks=jwks)))
        assert result.verdict is Verdict.KEY_REVOKED

    def test_a_key_set_without_the_key_makes_it_unknown(self, check):
        log = SmallLog(keys=(receipt_key(Signer(bytes(32))),))
        assert check(unpacked(bundle(log))).verdict is Verdict.UNKNOWN_KEY


def directory_entry(data, name, offset, value):
    """Change two or four bytes of a file's entry in the zip's list of files."""
    place = data.rindex(name.encode()) - 46 + offset
    assert data[place - offset :][:4] == b"PK\x01\x02"
    return data[:place] + value + data[place + len(value) :]


def twice(name):
    buffer = io.BytesIO(packed(GOOD))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(match="Duplicate"):
        archive.writestr(name, GOOD[name])
    return buffer.getvalue()


def overlapping():
    """One stretch of the zip under the names of two files (as 42.zip's successors)."""
    data = packed({"README.txt": b"0" * 1_000_000, "verify.py": b"0" * 1_000_000})
    size = struct.pack("<L", len(data))
    return directory_entry(data, "verify.py", 20, size)


class TestHostileZips:
    @pytest.mark.parametrize(
        "name",
        [
            *("../outside.json", "/etc/passwd", "receipts/../../x.json"),
            *("receipts\\1.json", "C:\\x", "receipts/1.json/../x", "more/", "."),
            *("receipts/1\n.json", "RECEIPTS/1.json", "receipts/٣.json", "\x1b[2J"),
            "receipts/99999999999999999999.json",
        ],
    )
    def test_a_name_that_leads_elsewhere_is_refused(self, check, name):
        result = check(packed(GOOD | {name: b"{}"}))
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    def test_folders_are_no_files(self, check):
        assert check(packed({"receipts/": b"", **GOOD})).verdict is Verdict.VALID

    def test_two_files_of_one_name_are_refused(self, check):
        result = check(twice(manifest.receipt_name(1)))
        assert result.verdict is Verdict.INVALID
        assert result.field == manifest.receipt_name(1)

    def test_an_encrypted_file_is_refused(self, check):
        data = directory_entry(packed(GOOD), "verify.py", 8, b"\x01\x00")
        result = check(data)
        assert (result.verdict, result.field) == (Verdict.INVALID, "verify.py")
        assert "encrypted" in result.steps[-1].detail

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
    def test_another_way_of_packing_is_refused(self, check, method):
        value = struct.pack("<H", method)
        result = check(directory_entry(packed(GOOD), "verify.py", 10, value))
        assert (result.verdict, result.field) == (Verdict.INVALID, "verify.py")

    @pytest.mark.parametrize("name", sorted(GOOD))
    def test_a_bomb_is_not_unpacked(self, check, name):
        result = check(packed(GOOD | {name: bytes(40 << 20)}))
        assert (result.verdict, result.field) == (Verdict.INVALID, name)
        assert "longer than" in result.steps[-1].detail

    def test_a_bomb_that_lies_about_its_size_is_not_unpacked(self, check):
        name = manifest.receipt_name(1)
        data = packed(GOOD | {name: bytes(40 << 20)})
        result = check(directory_entry(data, name, 24, struct.pack("<L", 1000)))
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    def test_a_size_that_is_too_small_for_the_file_is_refused(self, check):
        name = manifest.receipt_name(1)
        data = directory_entry(packed(GOOD), name, 24, struct.pack("<L", 100_000))
        result = check(data)
        assert (result.verdict, result.field) == (Verdict.INVALID, name)

    def test_files_that_overlap_are_refused(self, check):
        result = check(overlapping())
        assert (result.verdict, result.field) == (Verdict.INVALID, "bundle")
        assert "overlap" in result.steps[-1].detail

    def test_too_many_files_are_refused_unseen(self, check):
        data = packed(GOOD)
        count = struct.pack("<HH", MAX_FILES + 1, MAX_FILES + 1)
        result = check(data[:-14] + count + data[-10:])
        assert (result.verdict, result.field) == (Verdict.INVALID, "bundle")

    def test_too_much_in_all_is_refused(self, check, monkeypatch):
        monkeypatch.setattr("receipts.bundle_files.MAX_TOTAL", 100_000)
        monkeypatch.setattr("receipts.bundle_files._LIMITS", dict.fromkeys(GOOD, 90000))
        files = {n: bytes(80_000) for n in ("README.txt", "verify.py")}
        assert "of files" in check(packed(files)).steps[-1].detail

    def test_every_cut_is_found(self, check):
        data = packed(GOOD)
        for end in {*range(0, len(data), 997), len(data) - 1, len(data) - 22}:
            result = check(data[:end])
            assert (result.verdict, result.field) == (Verdict.INVALID, "bundle")

    @pytest.mark.parametrize(
        "data",
        [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x1f\x8b" + bytes(50), b"%PDF-1.7"],
    )
    def test_what_is_no_zip_is_invalid(self, check, data):
        result = check(data)
        assert result.verdict is Verdict.INVALID
        assert result.field

    def test_a_zip_with_something_after_it_is_refused(self, check):
        assert check(packed(GOOD) + b"more").field == "bundle"

    def test_any_changed_byte_is_a_verdict(self, check, tmp_path):
        data = packed(GOOD)
        body, listed = range(0, len(data), 307), range(len(data) - 1200, len(data), 3)
        for place in (*body, *listed):
            broken = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
            result = check(broken)  # never raises
            if result.verdict is Verdict.VALID:  # a time in the zip, say
                with open_bundle(tmp_path / "evidence.zip") as files:
                    assert {name: files.read(name) for name in files.names} == GOOD


class TestHostileFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        return unpack_into(tmp_path / "there", packed(GOOD))

    def test_a_link_is_not_followed(self, folder, tmp_path):
        secret = tmp_path / "secret"
        secret.write_bytes(GOOD[manifest.receipt_name(1)])
        (folder / "receipts" / "1.json").unlink()
        (folder / "receipts" / "1.json").symlink_to(secret)
        result = verify_bundle(folder)
        assert (result.verdict, result.field) == (Verdict.INVALID, "receipts/1.json")

    def test_another_folder_is_named(self, folder):
        (folder / "more").mkdir()
        result = verify_bundle(folder)
        assert (result.verdict, result.field) == (Verdict.INVALID, "more")

    def test_a_large_file_is_not_read_whole(self, folder):
        with (folder / "README.txt").open("wb") as file:
            file.truncate(1 << 40)  # no disk has it: a sparse file
        result = verify_bundle(folder)
        assert (result.verdict, result.field) == (Verdict.INVALID, "README.txt")


class TestTheCommand:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "evidence.zip"
        path.write_bytes(packed(GOOD))
        return str(path)

    def test_a_good_bundle_exits_with_0(self, path, capsys):
        assert main([path, "--key", LOG.vkey]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "VALID"
        assert sum(line.startswith("ok ") for line in lines) == len(STEPS)

    def test_json_is_one_object(self, path, capsys):
        assert main([path, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["verdict"], result["receipts"]) == ("VALID", 3)

    def test_bad_receipts_are_listed_and_the_code_is_that_of_the_first(
        self, tmp_path, capsys
    ):
        log = SmallLog(keys=(receipt_key(last=2, status="revoked"),))
        path = tmp_path / "revoked.zip"
        path.write_bytes(bundle(log))
        assert main([str(path)]) == Verdict.KEY_REVOKED.exit_code
        out = capsys.readouterr().out
        assert "receipts/3.json: KEY_REVOKED" in out
        assert "of 3 receipts: 1 VALID, 2 KEY_REVOKED" in out
        assert out.endswith("\nKEY_REVOKED\n")

    @pytest.mark.parametrize(
        ("indexes", "told"), [([3], "the one receipt"), ([1, 3], "all 2 receipts")]
    )
    def test_it_says_how_many_are_valid(self, tmp_path, capsys, indexes, told):
        path = tmp_path / "some.zip"
        path.write_bytes(bundle(indexes=indexes))
        assert main([str(path)]) == 0
        assert f"{told} {'is' if len(indexes) == 1 else 'are'} VALID" in (
            capsys.readouterr().out
        )

    def test_no_zip_exits_with_1(self, tmp_path, capsys):
        path = tmp_path / "it.zip"
        path.write_bytes(b"nonsense")
        assert main([str(path)]) == 1
        assert capsys.readouterr().out.endswith("\nINVALID\n")

    def test_a_name_cannot_write_to_the_terminal(self, tmp_path, capsys):
        path = tmp_path / "it.zip"
        path.write_bytes(packed({"\x1b[2J\nVALID": b""}))
        assert main([str(path)]) == 1
        out = capsys.readouterr().out
        assert out.isascii()
        assert "\x1b" not in out
        assert "VALID" not in out.splitlines()


def test_the_same_receipts_give_the_same_bytes():
    assert bundle() == bundle()


def test_a_checkpoint_with_extensions_is_read(check):
    text = replace(
        Checkpoint(ORIGIN, LOG.size, bytes.fromhex(json_root())),
        extensions=("more",),
    ).text()
    files = unpacked(bundle(checkpoint=LOG.signed(text)))
    assert check(files).verdict is Verdict.VALID


def json_root():
    return json.loads(GOOD[manifest.MANIFEST])["log"]["root"]
