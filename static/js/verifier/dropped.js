// What the files are that somebody drops, by what is in them and never by their names,
// and which of them belong together.

import { fromBase64 } from "./base64.js";
import { fromUtf8, utf8 } from "./bytes.js";
import { parseConsistencyProof } from "./consistency_proof.js";
import { fromJwks } from "./key_set.js";
import { Malformed } from "./malformed.js";
import { parseNote } from "./note.js";
import { parse } from "./strict_json.js";
import { HEADER, parseTlogProof } from "./tlog_proof.js";
import { unwrap } from "./verify.js";
import { isZip } from "./zip.js";

export const Kind = Object.freeze({
  RECEIPT: "receipt",
  PROOF: "proof",
  TLOG_PROOF: "tlog-proof",
  BUNDLE: "evidence bundle",
  JWKS: "JWKS",
  KEY_SET: "key set note",
  CHECKPOINT: "checkpoint",
  CONSISTENCY: "consistency proof",
  UNKNOWN: "unknown",
});

// Say what a file is: its kind, with what matching it needs. A file that cannot be read
// is UNKNOWN, and `why` says why.
export async function recognize({ name, bytes }) {
  try {
    return { name, bytes, ...(await look(bytes)) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { name, bytes, kind: Kind.UNKNOWN, why: error.message };
  }
}

async function look(bytes) {
  if (isZip(bytes)) return { kind: Kind.BUNDLE };
  const start = fromUtf8(bytes.subarray(0, HEADER.length).map((byte) => byte & 0x7f));
  if (start === HEADER) {
    const { index } = parseTlogProof(fromUtf8(bytes));
    return { kind: Kind.TLOG_PROOF, index };
  }
  return start.trimStart().startsWith("{") ? lookAtJson(bytes) : lookAtNote(bytes);
}

async function lookAtJson(bytes) {
  const object = parse(bytes);
  if (Array.isArray(object.get("keys"))) return { kind: Kind.JWKS, keySets: await fromJwks(object) };
  const proof = unwrap(object, "proof");
  if (proof.has("leaf_index") && proof.has("checkpoint")) {
    return { kind: Kind.PROOF, hash: proof.get("receipt_hash"), leaf: proof.get("leaf") };
  }
  if (object.has("from") && object.has("to") && object.has("proof")) {
    return { kind: Kind.CONSISTENCY, proof: parseConsistencyProof(bytes) };
  }
  const receipt = unwrap(object, "receipt");
  if (receipt.has("receipt_hash") || receipt.has("run_id")) {
    const index = receipt.get("_mmr_leaf_index");
    return { kind: Kind.RECEIPT, hash: receipt.get("receipt_hash"), index };
  }
  throw new Malformed("JSON, but neither a receipt nor a proof nor a JWKS");
}

function lookAtNote(bytes) {
  const note = fromUtf8(bytes);
  if (!note.includes("\n\n\u2014 ")) throw new Malformed("neither JSON nor a proof nor a zip");
  const { text } = parseNote(note);
  const isKeySet = text.split("\n")[1] === "lucid-key-set/v1";
  return { kind: isKeySet ? Kind.KEY_SET : Kind.CHECKPOINT, note };
}

// Bring each receipt together with its proof: the proof that names its hash, else the
// .tlog-proof of its index, else the only two that are left over. A proof JSON without
// a receipt brings the entry with it, as its leaf.
export function match(files) {
  const of = (kind) => files.filter((file) => file.kind === kind);
  const proofs = new Set([...of(Kind.PROOF), ...of(Kind.TLOG_PROOF)]);
  const pairs = of(Kind.RECEIPT).map((receipt) => {
    const proof = [...proofs].find((it) => belongs(receipt, it)) ?? null;
    proofs.delete(proof);
    return { receipt, proof };
  });
  const alone = pairs.filter((pair) => pair.proof === null);
  if (alone.length === 1 && proofs.size === 1) {
    [alone[0].proof] = proofs;
    proofs.clear();
  }
  return [...pairs, ...[...proofs].map((proof) => ({ receipt: entryOf(proof), proof }))];
}

function belongs(receipt, proof) {
  if (proof.kind === Kind.PROOF) return proof.hash === receipt.hash;
  return typeof receipt.index === "number" && BigInt(receipt.index) === proof.index;
}

function entryOf({ name, kind, leaf }) {
  if (kind !== Kind.PROOF || typeof leaf !== "string") return null;
  try {
    return { name: `${name} (its leaf)`, kind: Kind.RECEIPT, bytes: fromBase64(leaf) };
  } catch {
    return { name, kind: Kind.RECEIPT, bytes: utf8("") }; // which verify finds INVALID
  }
}
