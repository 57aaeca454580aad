// C2SP tlog-proof: one file that proves, offline, that an entry is in a log.

import { fromBase64 } from "./base64.js";
import { parseDecimal } from "./checkpoint.js";
import { Malformed } from "./malformed.js";
import { HASH_BYTES } from "./merkle.js";

export const HEADER = "c2sp.org/tlog-proof@v1";

const MAX_HASHES = 63; // the inclusion proof in a tree of 2^63-1 leaves

// Read a .tlog-proof, in its one spelling: the entry's index, the hashes of its path
// (the leaf's sibling first), and the checkpoint: a signed note, not yet verified.
// What `extra` says nobody authenticates.
export function parseTlogProof(text) {
  const end = text.indexOf("\n\n");
  const [header, ...lines] = text.slice(0, Math.max(end, 0)).split("\n");
  const checkpoint = text.slice(end + 2);
  if (end < 0 || header !== HEADER || checkpoint === "") throw new Malformed(`not a ${HEADER}`);
  if (lines[0]?.startsWith("extra ")) checkExtra(lines.shift().slice("extra ".length));
  if (!lines[0]?.startsWith("index ")) throw new Malformed("no line with 'index'");
  const index = parseDecimal(lines.shift().slice("index ".length));
  const hashes = lines.map(fromBase64);
  if (hashes.length > MAX_HASHES || hashes.some((hash) => hash.length !== HASH_BYTES)) {
    throw new Malformed(`a proof is at most ${MAX_HASHES} SHA-256 hashes`);
  }
  return { index, hashes, checkpoint };
}

function checkExtra(encoded) {
  fromBase64(encoded);
  // The one spelling of no extra is no line.
  if (encoded === "") throw new Malformed("an empty extra line");
}
