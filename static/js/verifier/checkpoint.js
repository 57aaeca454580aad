// C2SP tlog-checkpoint: the text of a log's signed tree head.

import { fromBase64 } from "./base64.js";
import { Malformed } from "./malformed.js";
import { HASH_BYTES, MAX_SIZE } from "./merkle.js";

// Read a note's text, in its one spelling: origin, size, root. `extensions` are the
// lines after the root, which the specification tells readers to let pass.
export function parseCheckpoint(text) {
  const [origin, ...lines] = text.split("\n");
  if (lines.length < 3 || lines.pop() !== "") {
    throw new Malformed("a checkpoint has three lines, each ended");
  }
  const [size, root, ...extensions] = lines;
  const head = { origin, size: parseDecimal(size), root: fromBase64(root), extensions };
  if (head.root.length !== HASH_BYTES) throw new Malformed(`a root has ${HASH_BYTES} bytes`);
  if ([origin, ...extensions].includes("")) {
    throw new Malformed("an origin or extension is one non-empty line");
  }
  return head;
}

// Read an ASCII decimal up to 2^63-1 without leading zeroes.
export function parseDecimal(text) {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_SIZE) {
    throw new Malformed(`${JSON.stringify(text).slice(0, 40)} is not a decimal from 0 to 2^63-1`);
  }
  return BigInt(text);
}
