// Read the answer of a server that was asked for a consistency proof, or a file of it.

import { fromHex } from "./bytes.js";
import { Malformed } from "./malformed.js";
import { parse } from "./strict_json.js";

// Return { hashes, from, to, origin }, or { size } of a log that says it has fewer
// entries than were asked about.
export function parseConsistencyProof(bytes) {
  const answer = parse(bytes);
  if (!(answer instanceof Map)) throw new Malformed("not a JSON object");
  if (!Array.isArray(answer.get("proof"))) {
    if (typeof answer.get("size") !== "number") throw new Malformed("no consistency proof");
    return { size: BigInt(answer.get("size")) };
  }
  const sizes = [answer.get("from"), answer.get("to")];
  if (sizes.some((size) => typeof size !== "number")) throw new Malformed("no sizes");
  return {
    origin: answer.get("origin"),
    from: BigInt(sizes[0]),
    to: BigInt(sizes[1]),
    hashes: answer.get("proof").map(fromHex),
  };
}
