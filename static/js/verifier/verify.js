// Check a receipt against the log it claims to be in: the same steps, in the same
// order and with the same verdicts as `python -m receipts.verifier`.
//
// Everything is computed here, from the two files and from what the reader pins. No
// server is asked for anything.

import { toBase58 } from "./base58.js";
import { toBase64 } from "./base64.js";
import { equal, fromHex, fromUtf8, toHex, utf8 } from "./bytes.js";
import { canonicalize } from "./canonical.js";
import { parseCheckpoint } from "./checkpoint.js";
import * as ed25519 from "./ed25519.js";
import { KeySet, parseKeySet } from "./key_set.js";
import { Malformed } from "./malformed.js";
import { ProofError, directions, leafHash, verifyInclusion } from "./merkle.js";
import { ED25519, NoteError, UnverifiedNote, VerifierKey, openNote } from "./note.js";
import { implementation as sha2, sha256 } from "./sha2.js";
import { Float, parse } from "./strict_json.js";
import { HEADER, parseTlogProof } from "./tlog_proof.js";

export const Verdict = Object.freeze({
  VALID: "VALID",
  INVALID: "INVALID",
  UNSIGNED: "UNSIGNED",
  UNKNOWN_KEY: "UNKNOWN_KEY",
  KEY_REVOKED: "KEY_REVOKED",
  NOT_IN_LOG: "NOT_IN_LOG",
  INCONSISTENT: "INCONSISTENT",
});

// What sealing adds to the body, and what a reply adds from outside the entry.
const SEAL = [
  "receipt_hash",
  "receipt_signature",
  "signer_pubkey",
  "signer_kid",
  "signer_type",
];
const EXTRAS = ["receipt_id", "_mmr_leaf_index", "anchor"];

// The steps by name, each with the method of Case that takes it.
const OF_A_RECEIPT = [
  ["receipt", "readReceipt"],
  ["receipt_hash", "checkHash"],
  ["proof", "readProof"],
  ["checkpoint", "openCheckpoint"],
  ["key_set", "openKeySet"],
  ["receipt_signature", "checkSignature"],
  ["inclusion", "checkInclusion"],
  ["agreement", "checkAgreement"],
  ["key_range", "checkKeyRange"],
];
const OF_AN_ENTRY = [
  ["receipt", "readEntry"],
  ...OF_A_RECEIPT.slice(1).filter(([name]) => name !== "agreement"),
];

// Check a receipt (the bytes of its JSON) with a proof (the bytes of its JSON, or of a
// .tlog-proof). Pinned from outside, each or none:
//
//   logKeys   VerifierKeys that may sign for the log
//   keySets   KeySets of a JWKS; without them the proof's own counts, signed by the log
//   origin    the log's name
//
// Returns the verdict, the steps up to the first that fails, notes on what was not
// pinned, and where something is wrong its `field`, what follows from the rest
// (`expected`) and what is there instead (`found`). `onStep` is told of each step.
export async function verify(receipt, proof, pinned = {}, onStep = () => {}) {
  const the = new Case(receipt, proof, pinned);
  const result = await conclude(the, OF_A_RECEIPT, onStep);
  return { ...result, notes: unpinned("proof", pinned) };
}

// As verify, of an entry in the very bytes that are the leaf, and a .tlog-proof. All
// that the entry is checked against is pinned; none of it is taken from the proof.
export function verifyEntry(entry, proof, pinned) {
  return conclude(new Case(entry, proof, pinned), OF_AN_ENTRY);
}

// Take the steps, each a method of `the` case, up to the first that fails.
export async function conclude(the, steps, onStep = () => {}) {
  const result = { steps: [], established: the };
  for (const [name, method] of steps) {
    const step = await take(the, name, method);
    result.steps.push(step);
    onStep(step);
    if (!step.ok) {
      const { verdict, field, expected, found } = asRefused(step.error);
      return { ...result, verdict, field: field ?? name, expected, found };
    }
  }
  return { ...result, verdict: Verdict.VALID, field: null };
}

async function take(the, name, method) {
  const start = performance.now();
  the.shown = [];
  const step = { name, ok: true, shown: the.shown };
  try {
    step.detail = await the[method]();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error; // a fault here is no verdict
    Object.assign(step, { ok: false, detail: error.message, error });
  }
  step.milliseconds = performance.now() - start;
  return step;
}

// Why a step fails, with the verdict that it leads to.
export class Refused extends Malformed {
  constructor(verdict, message, field = null, expected = null, found = null) {
    super(message, field);
    Object.assign(this, { verdict, expected, found });
  }
}

// What cannot be read is INVALID.
function asRefused(error) {
  if (error instanceof Refused) return error;
  const isUnknown = error instanceof UnverifiedNote;
  const verdict = isUnknown ? Verdict.UNKNOWN_KEY : Verdict.INVALID;
  return new Refused(verdict, error.message, error.field);
}

// What is given, and what each step has established from it for the next. Every step
// returns what it found, in words, or throws what is Malformed; `show` puts the values
// before the reader.
class Case {
  constructor(receipt, proof, { logKeys = [], keySets = null, origin = null }) {
    Object.assign(this, { givenReceipt: receipt, givenProof: proof, logKeys, keySets });
    this.pinnedOrigin = origin;
    this.stated = null; // members of a proof JSON
  }

  show(label, value) {
    this.shown.push([label, value]);
  }

  readReceipt() {
    this.receipt = unwrap(readObject(this.givenReceipt), "receipt");
    this.entry = without(this.receipt, EXTRAS);
    this.body = without(this.entry, SEAL);
    this.show("Run", this.entry.get("run_id"));
    this.show("Members of the body", [...this.body.keys()].join(", "));
    const left = [...this.receipt.keys()].filter((name) => EXTRAS.includes(name));
    if (left.length) this.show("Left out, not signed", left.join(", "));
    return `${this.givenReceipt.length} bytes of JSON, in one reading`;
  }

  // An entry as it is stored is canonical, and has nothing from outside.
  readEntry() {
    this.receipt = readObject(this.givenReceipt);
    if (!equal(canonicalize(this.receipt), this.givenReceipt)) {
      throw differs("receipt", fromUtf8(canonicalize(this.receipt)), fromUtf8(this.givenReceipt));
    }
    const extra = EXTRAS.filter((name) => this.receipt.has(name)).sort()[0];
    if (extra) throw new Refused(Verdict.INVALID, "no entry has it", extra);
    return this.readReceipt();
  }

  // receipt_hash = hex SHA-256(JCS(body)), and somebody has signed it.
  async checkHash() {
    const canonical = canonicalize(this.body);
    const computed = toHex(await sha256(canonical));
    this.show("Canonical body (RFC 8785)", fromUtf8(canonical));
    this.show("SHA-256, computed", computed);
    this.show("SHA-256, in the receipt", this.entry.get("receipt_hash"));
    this.show("Computed by", sha2.name);
    expect("receipt_hash", computed, this.entry.get("receipt_hash"));
    if (isEmpty(this.entry.get("receipt_signature"))) {
      throw new Refused(Verdict.UNSIGNED, "nobody has signed the receipt");
    }
    return "the hash in the receipt is the hash of its body";
  }

  readProof() {
    const header = utf8(HEADER);
    if (equal(this.givenProof.subarray(0, header.length), header)) {
      this.proof = parseTlogProof(fromUtf8(this.givenProof));
    } else {
      this.stated = unwrap(readObject(this.givenProof), "proof");
      this.proof = readMembers(this.stated);
    }
    this.index = this.proof.index;
    this.show("Hashes of the path", this.proof.hashes.map(toHex).join("\n") || "none");
    return `${this.proof.hashes.length} hashes for entry ${this.index}`;
  }

  // The tree head, signed by a key of the log that is named as the origin.
  async openCheckpoint() {
    this.areLogKeysPinned = this.logKeys.length > 0;
    if (this.stated && !this.areLogKeysPinned) {
      this.logKeys = [await parseVkey(this.stated.get("vkey"))];
    }
    this.show("Checkpoint", this.proof.checkpoint);
    this.show("Checked with", this.logKeys.map((key) => key.text).join("\n") || "no key");
    this.show("Signature checked by", ed25519.implementation.name);
    const opened = await this.openNote(this.proof.checkpoint);
    this.head = parseCheckpoint(opened.text);
    const names = [...opened.signers.values()].map((key) => key.name);
    if (!names.includes(this.head.origin)) throw differs("origin", names, this.head.origin);
    this.headSigners = opened.signers;
    expect("origin", this.pinnedOrigin || this.head.origin, this.head.origin);
    const { origin, size, extensions } = this.head;
    const more = extensions.length ? `, ${extensions.length} lines that nobody audits` : "";
    return `${origin} signed that it has ${size} entries${more}`;
  }

  // The receipt keys of the log: the pinned ones, else those it has signed.
  async openKeySet() {
    const { origin } = this.head;
    if (this.stated) {
      this.show("Key set", this.stated.get("key_set"));
      const { text, signers } = await this.openNote(this.stated.get("key_set"));
      this.keys = await parseKeySet(text);
      expect("key_set", origin, this.keys.origin);
      const names = [...signers.values()].map((key) => key.name);
      if (!names.includes(origin)) throw differs("key_set", names, origin);
    } else if (this.keySets === null) {
      const detail = "the proof has no key set, and none was given";
      throw new Refused(Verdict.UNKNOWN_KEY, detail);
    }
    if (this.keySets === null) {
      return `${keysOf(this.keys)}, signed by the log at size ${this.keys.size}`;
    }
    const given = this.keySets.find((keys) => keys.origin === origin);
    this.keys = given ?? new KeySet(origin, null, []);
    this.checkLogKeys();
    return `${keysOf(this.keys)}, given from outside`;
  }

  // The checkpoint has a signature that counts for its last leaf.
  checkLogKeys() {
    const lastLeaf = this.head.size - 1n;
    const ended = this.keys.revokedLogKeys
      .filter((key) => key.isRevokedAt(lastLeaf))
      .map((key) => toHex(key.publicKey));
    const signed = this.logKeys
      .filter((key) => key.name === this.head.origin && this.headSigners.has(toHex(key.keyId)))
      .map((key) => toHex(key.publicKey));
    if (signed.every((key) => ended.includes(key))) {
      const detail = `the log's key was revoked before entry ${lastLeaf}`;
      throw new Refused(Verdict.KEY_REVOKED, detail, "checkpoint");
    }
  }

  // Ed25519 over the 32 raw bytes of receipt_hash, under the key that is looked up by
  // its kid: the one in the receipt proves nothing.
  async checkSignature() {
    const kid = this.entry.get("signer_kid");
    const key = typeof kid === "string" ? this.keys.find(kid) : null;
    if (key === null) {
      const detail = `the log has no receipt key ${asText(kid)}`;
      throw new Refused(Verdict.UNKNOWN_KEY, detail, "signer_kid", null, kid);
    }
    const publicKey = toBase58(key.publicKey);
    this.show("Key", kid);
    this.show("Public key, from the key set", publicKey);
    this.show("Signature", this.entry.get("receipt_signature"));
    this.show("Signature checked by", ed25519.implementation.name);
    expect("signer_pubkey", publicKey, this.entry.get("signer_pubkey"));
    const message = fromHex(this.entry.get("receipt_hash"));
    const signature = fromHex(this.entry.get("receipt_signature"));
    if (!(await ed25519.verify(key.publicKey, message, signature))) {
      throw new Malformed(`the signature is not by ${kid}`);
    }
    this.key = key;
    return `made with key ${kid}`;
  }

  async checkInclusion() {
    const leaf = await leafHash(canonicalize(this.entry));
    const { size, root } = this.head;
    this.show("Hash of the entry", toHex(leaf));
    this.show("Root, in the checkpoint", toHex(root));
    try {
      const path = await verifyInclusion(this.index, size, leaf, this.proof.hashes, root);
      this.show("Hashes computed, up to the root", path.map(toHex).join("\n"));
    } catch (error) {
      if (!(error instanceof ProofError)) throw error;
      throw new Refused(Verdict.NOT_IN_LOG, error.message);
    }
    return `it is entry ${this.index}, counted from 0, of ${size}`;
  }

  // Everything the files say twice has to be what was derived.
  async checkAgreement() {
    if (this.receipt.has("_mmr_leaf_index")) {
      expect("_mmr_leaf_index", this.index, this.receipt.get("_mmr_leaf_index"));
    }
    if (!this.stated) return "nothing is repeated";
    for (const [name, value] of Object.entries(await this.derived())) {
      expect(name, value, this.stated.get(name));
    }
    await this.checkVkey();
    return "what the files repeat is what was derived";
  }

  checkKeyRange() {
    const { kid, status, firstIndex, lastIndex } = this.key;
    this.show("The key counts from", `entry ${firstIndex}`);
    this.show("The key counts to", lastIndex === null ? "no end yet" : `entry ${lastIndex}`);
    if (!this.key.countsAt(this.index)) {
      const detail = `signatures by ${kid} do not count at entry ${this.index}`;
      throw new Refused(Verdict.KEY_REVOKED, detail);
    }
    if (!this.keys.speaksFor(this.index)) {
      const detail = `the key set of size ${this.keys.size} is older than the entry`;
      throw new Refused(Verdict.UNKNOWN_KEY, detail);
    }
    return `the ${status} key counts at entry ${this.index}`;
  }

  // The text of a note by the log, and the keys that have signed, by their ids.
  async openNote(note) {
    const { text, signers } = await openOnce(note, this.logKeys);
    const plain = signers.filter((key) => key.algorithm === ED25519);
    return { text, signers: new Map(plain.map((key) => [toHex(key.keyId), key])) };
  }

  // The vkey in the proof may be another than the pinned one while the log changes its
  // key; both have signed then.
  async checkVkey() {
    const key = await parseVkey(this.stated.get("vkey"));
    try {
      await openNote(this.proof.checkpoint, [key]);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new Refused(Verdict.INVALID, error.message, "vkey");
    }
  }

  async derived() {
    const entry = canonicalize(this.entry);
    const hashes = this.proof.hashes.map(toHex);
    return {
      run_id: this.entry.get("run_id"),
      receipt_hash: this.entry.get("receipt_hash"),
      leaf: toBase64(entry),
      leaf_hash: toHex(await leafHash(entry)),
      leaf_index: this.index,
      proof: hashes,
      siblings: hashes,
      directions: directions(this.index, this.head.size),
      root: toHex(this.head.root),
      tree_size: this.head.size,
      origin: this.head.origin,
      proof_type: "rfc6962",
    };
  }
}

const opened = new WeakMap(); // notes by the keys that they were opened with

// One checkpoint stands in every proof of a bundle, and is checked once.
function openOnce(note, keys) {
  if (!opened.has(keys)) opened.set(keys, new Map());
  const notes = opened.get(keys);
  if (!notes.has(note)) notes.set(note, openNote(note, keys));
  return notes.get(note);
}

export function keysOf({ keys }) {
  return keys.length === 1 ? "1 key" : `${keys.length} keys`;
}

// Read what the rest is derived from; all else has to agree with it.
function readMembers(proof) {
  const isOfKind = {
    leaf_index: (value) => typeof value === "number",
    proof: Array.isArray,
    checkpoint: (value) => typeof value === "string",
    key_set: (value) => typeof value === "string",
    vkey: (value) => typeof value === "string",
  };
  for (const [name, check] of Object.entries(isOfKind)) {
    if (!check(proof.get(name))) {
      throw new Refused(Verdict.INVALID, `${name} is missing or of another type`, name);
    }
  }
  return {
    index: BigInt(proof.get("leaf_index")),
    hashes: proof.get("proof").map(fromHex),
    checkpoint: proof.get("checkpoint"),
  };
}

export async function parseVkey(vkey) {
  try {
    return await VerifierKey.parse(vkey);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new Refused(Verdict.INVALID, error.message, "vkey");
  }
}

function readObject(bytes) {
  const value = parse(bytes);
  if (!(value instanceof Map)) throw new Malformed("not a JSON object");
  return value;
}

// Take the object out of an API answer, or the object for itself. Only out of a bare
// envelope: what else stood there would go unchecked.
export function unwrap(answer, name) {
  const inner = answer.get(name);
  const isBare = [...answer.keys()].every((key) => key === "success" || key === name);
  return inner instanceof Map && isBare ? inner : answer;
}

function without(members, names) {
  return new Map([...members].filter(([name]) => !names.includes(name)));
}

function isEmpty(value) {
  if (value instanceof Map) return value.size === 0;
  if (value instanceof Float) return value.value === 0;
  return Array.isArray(value) ? value.length === 0 : !value;
}

export function expect(field, expected, found) {
  if (!isSame(expected, found)) throw differs(field, expected, found);
}

// Of one kind and with one canonical spelling: 3 is not 3.0, nor "3", nor true.
function isSame(expected, found) {
  if (typeof expected === "bigint") {
    return typeof found === "number" || typeof found === "bigint"
      ? BigInt(found) === expected
      : expected === found;
  }
  const [one, other] = [expected ?? null, found ?? null];
  const kind = (value) => value?.constructor ?? null;
  return kind(one) === kind(other) && equal(canonicalize(one), canonicalize(other));
}

export function differs(field, expected, found) {
  const detail = `${field} is not what follows from the rest`;
  return new Refused(Verdict.INVALID, detail, field, expected ?? null, found ?? null);
}

// A value of a file, as text to read.
export function asText(value) {
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "string") return value;
  return typeof value === "bigint" ? `${value}` : fromUtf8(canonicalize(value));
}

// What was not pinned is taken from the proof, or bundle, itself: say so.
export function unpinned(source, { logKeys = [], keySets = null, origin = null }) {
  const notes = [];
  const taken = `taken from the ${source} itself.`;
  if (logKeys.length === 0) {
    notes.push(`The log’s key was not pinned: ${taken}`);
    if (!origin) notes.push(`The origin was not pinned: ${taken}`);
  }
  if (keySets === null) notes.push(`The receipt keys were not pinned: ${taken}`);
  return notes;
}
