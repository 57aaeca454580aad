// Check a whole evidence bundle: that it is as it was made, then each receipt. The same
// steps as `verify.py` in the bundle takes.
//
// First the log's signature on the manifest, the SHA-256 of every file, and that none is
// missing or added; then the checkpoint and the key set; then every receipt.

import { fromUtf8, toHex } from "./bytes.js";
import { parseCheckpoint } from "./checkpoint.js";
import { KeySet, fromJwks, parseKeySet } from "./key_set.js";
import { parseManifest, parseManifestNote } from "./manifest.js";
import { ED25519, VerifierKey, openNote } from "./note.js";
import { sha256 } from "./sha2.js";
import { parse } from "./strict_json.js";
import { parseTlogProof } from "./tlog_proof.js";
import {
  Refused,
  Verdict,
  conclude,
  differs,
  expect,
  keysOf,
  unpinned,
  verifyEntry,
} from "./verify.js";
import { openZip } from "./zip.js";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const INDEX = "(?:0|[1-9][0-9]{0,18})";
const OF_RECEIPTS = new RegExp(`^(?:receipts/${INDEX}\\.json|proofs/${INDEX}\\.tlog-proof)$`);
const CHECKPOINT = "checkpoint.txt";
const KEY_SET = "keys.txt";
const JWKS = "keys.json";
const MANIFEST = "manifest.json";
const SIGNATURE = "manifest.sig";
const LISTED = ["README.txt", "verify.py", CHECKPOINT, KEY_SET, JWKS];
// The most that a file of that name can have, in bytes.
const LIMITS = new Map([
  ...LISTED.map((name) => [name, MIB]),
  [JWKS, 4 * MIB],
  [MANIFEST, 32 * MIB],
  [SIGNATURE, MIB],
]);
const MAX_BAD = 100; // receipts that are not VALID, listed

const STEPS = [
  ["manifest", "readManifest"],
  ["signature", "checkManifestSignature"],
  ["files", "checkFiles"],
  ["checkpoint", "openCheckpoint"],
  ["key_set", "openKeySet"],
  ["receipts", "checkReceipts"],
];

// Check the bytes of a zip. Pinned from outside as for `verify`. The result has, beside
// what `verify` returns, `counts` of receipts by verdict and the first that are `bad`.
export async function verifyBundle(bytes, pinned = {}, onStep = () => {}, onReceipt = () => {}) {
  const the = new Bundle(bytes, pinned, onReceipt);
  const result = await conclude(the, [["files", "open"], ...STEPS], (step) => {
    // That a zip could be opened is no step to tell of.
    if (step.name !== "files" || !step.ok || the.isOpen) onStep(step);
    the.isOpen = true;
  });
  const steps = result.steps.length > 1 ? result.steps.slice(1) : result.steps;
  return { ...result, steps, notes: unpinned("bundle", pinned), counts: the.counts, bad: the.bad };
}

class Bundle {
  constructor(bytes, { logKeys = [], keySets = null, origin = null }, onReceipt) {
    Object.assign(this, { bytes, logKeys, keySets, pinnedOrigin: origin, onReceipt });
    this.areLogKeysPinned = logKeys.length > 0;
    this.isOpen = false;
    this.counts = new Map();
    this.bad = [];
  }

  show(label, value) {
    this.shown.push([label, value]);
  }

  open() {
    this.files = openZip(this.bytes, limitOf);
    return `${this.files.names.size} files`;
  }

  async readManifest() {
    const data = await this.files.read(MANIFEST);
    this.digest = toHex(await sha256(data));
    this.show("SHA-256 of manifest.json, computed", this.digest);
    this.manifest = parseManifest(data);
    if (!this.areLogKeysPinned) {
      this.logKeys = await Promise.all(this.manifest.vkeys.map(VerifierKey.parse));
    }
    return `made at ${this.manifest.madeAt}`;
  }

  // The log that the manifest is of has signed it, with a key of its own.
  async checkManifestSignature() {
    if (!this.files.names.has(SIGNATURE)) {
      throw new Refused(Verdict.UNSIGNED, "nobody has signed the manifest", SIGNATURE);
    }
    const { text } = await this.openNote(SIGNATURE, this.manifest.origin);
    const { origin, sha256: digest } = parseManifestNote(text);
    this.show("Note", text);
    expect(SIGNATURE, this.manifest.origin, origin);
    expect(MANIFEST, digest, this.digest);
    return `${origin} signed the manifest`;
  }

  // There are the files of the manifest, no other, each as it was made.
  async checkFiles() {
    this.checkNames();
    for (const [name, digest] of this.manifest.files) {
      expect(name, digest, toHex(await sha256(await this.files.read(name))));
    }
    return `${this.manifest.files.size} files are as the manifest says`;
  }

  checkNames() {
    const listed = this.manifest.files;
    const there = new Set(this.files.names);
    [MANIFEST, SIGNATURE].forEach((name) => there.delete(name));
    const missing = [...listed.keys()].filter((name) => !there.has(name)).sort()[0];
    if (missing) throw new Refused(Verdict.INVALID, "the file is missing", missing);
    const added = [...there].filter((name) => !listed.has(name)).sort()[0];
    if (added) {
      throw new Refused(Verdict.INVALID, "the manifest does not name this file", added);
    }
    const lacking = LISTED.find((name) => !listed.has(name));
    if (lacking) throw new Refused(Verdict.INVALID, "every bundle has this file", lacking);
  }

  async openCheckpoint() {
    const said = this.manifest;
    this.note = fromUtf8(await this.files.read(CHECKPOINT));
    this.show("Checkpoint", this.note);
    this.show("Checked with", this.logKeys.map((key) => key.text).join("\n"));
    const { text, signers } = await this.openNote(CHECKPOINT, said.origin);
    this.head = parseCheckpoint(text);
    this.headSigners = new Map(signers.map((key) => [toHex(key.keyId), key]));
    expect("origin", this.pinnedOrigin || said.origin, this.head.origin);
    expect("origin", said.origin, this.head.origin);
    expect("size", said.size, this.head.size);
    expect("root", said.root, toHex(this.head.root));
    return `${said.origin} signed that it has ${this.head.size} entries`;
  }

  // The keys of the note and of the JWKS are the same; pinned ones come first.
  async openKeySet() {
    const { origin, size } = this.head;
    const keys = await parseKeySet((await this.openNote(KEY_SET, origin)).text);
    expect(KEY_SET, origin, keys.origin);
    expect(KEY_SET, size, keys.size);
    const repeated = await this.keysOfJwks();
    const lines = (set) => set.keys.map((key) => key.line).join("");
    if (lines(repeated) !== lines(keys)) {
      throw new Refused(Verdict.INVALID, "not the keys that are signed", JWKS);
    }
    this.show("Key set", keys.text);
    this.keys = new KeySet(origin, size, keys.keys, repeated.revokedLogKeys);
    if (this.keySets === null) {
      return `${keysOf(keys)}, signed by the log at size ${size}`;
    }
    const given = this.keySets.find((set) => set.origin === origin);
    this.keys = given ?? new KeySet(origin, null, []);
    return `${keysOf(this.keys)}, given from outside`;
  }

  async keysOfJwks() {
    const sets = await fromJwks(parse(await this.files.read(JWKS)));
    if (sets.length !== 1 || sets[0].origin !== this.head.origin) {
      throw new Refused(Verdict.INVALID, "not the keys of this log alone", JWKS);
    }
    return sets[0];
  }

  async checkReceipts() {
    const indexes = this.indexes();
    let first = null;
    for (const [done, index] of indexes.entries()) {
      const result = await this.checkReceipt(index);
      this.counts.set(result.verdict, (this.counts.get(result.verdict) ?? 0) + 1);
      if (result.verdict !== Verdict.VALID) {
        first ??= asRefused(index, result);
        if (this.bad.length < MAX_BAD) this.bad.push({ file: receiptName(index), result });
      }
      this.onReceipt(done + 1, indexes.length);
    }
    if (first) throw first;
    return allValid(indexes.length);
  }

  // The leaf indexes of the receipts, each of which has a proof.
  indexes() {
    const [receipts, proofs] = [this.listed("receipts/"), this.listed("proofs/")];
    const odd = [...receipts, ...proofs].filter((i) => !(receipts.has(i) && proofs.has(i)));
    if (odd.length) {
      const index = sorted(odd)[0];
      const lacking = receipts.has(index) ? proofName(index) : receiptName(index);
      throw new Refused(Verdict.INVALID, "the file is missing", lacking);
    }
    expect("counts.receipts", this.manifest.receipts, receipts.size);
    if (receipts.size === 0) {
      throw new Refused(Verdict.INVALID, "there is no receipt to verify", "receipts");
    }
    return sorted([...receipts]);
  }

  listed(folder) {
    const names = [...this.files.names].filter((name) => name.startsWith(folder));
    return new Set(names.map((name) => BigInt(name.slice(folder.length).split(".")[0])));
  }

  async checkReceipt(index) {
    const entry = await this.files.read(receiptName(index));
    const proof = await this.files.read(proofName(index));
    this.pinned ??= { logKeys: this.logKeys, keySets: [this.keys], origin: this.head.origin };
    const result = await verifyEntry(entry, proof, this.pinned);
    if (result.verdict !== Verdict.VALID) return result;
    const place = new Place(this, index, proof);
    const placed = await conclude(place, [["place", "check"]]);
    return { ...result, ...placed, steps: [...result.steps, ...placed.steps] };
  }

  // A note that the log has signed.
  async openNote(name, origin) {
    const note = fromUtf8(await this.files.read(name));
    const { text, signers } = await openNote(note, this.logKeys);
    const names = signers.filter((key) => key.algorithm === ED25519).map((key) => key.name);
    if (!names.includes(origin)) throw differs(name, names, origin);
    return { text, signers };
  }
}

// That a proof is of its index, and of the one checkpoint of the bundle.
class Place {
  constructor(bundle, index, proof) {
    Object.assign(this, { bundle, index, proof });
  }

  async check() {
    const { index, checkpoint } = parseTlogProof(fromUtf8(this.proof));
    expect("index", this.index, index);
    if (checkpoint !== this.bundle.note) throw await this.otherCheckpoint(checkpoint);
    return "the proof is of checkpoint.txt";
  }

  // Two trees of one size, both signed, are two histories.
  async otherCheckpoint(note) {
    const other = parseCheckpoint((await openNote(note, this.bundle.logKeys)).text);
    const { head } = this.bundle;
    const [root, found] = [toHex(head.root), toHex(other.root)];
    if (other.origin === head.origin && other.size === head.size && root !== found) {
      const detail = `the log has signed two trees of size ${other.size}`;
      return new Refused(Verdict.INCONSISTENT, detail, "root", root, found);
    }
    return new Refused(Verdict.INVALID, "not of checkpoint.txt", "checkpoint");
  }
}

function asRefused(index, { verdict, field, expected, found, steps }) {
  const detail = `entry ${index}: ${steps.at(-1).detail}`;
  return new Refused(verdict, detail, `${receiptName(index)}: ${field}`, expected, found);
}

function limitOf(name) {
  return OF_RECEIPTS.test(name) ? 128 * KIB : (LIMITS.get(name) ?? null);
}

function allValid(count) {
  return count === 1 ? "the one receipt is VALID" : `all ${count} receipts are VALID`;
}

const receiptName = (index) => `receipts/${index}.json`;
const proofName = (index) => `proofs/${index}.tlog-proof`;
const sorted = (indexes) => indexes.sort((one, other) => (one < other ? -1 : 1));
