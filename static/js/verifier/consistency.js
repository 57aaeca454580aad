// Whether two signed checkpoints of a log can be of one history.
//
// The proof comes from a server, and that does not matter: it either leads from the one
// root to the other or it does not (RFC 6962 section 2.1.2).

import { equal } from "./bytes.js";
import { Malformed } from "./malformed.js";
import { verifyConsistency } from "./merkle.js";

// Throw Malformed unless the newer of two heads (origin, size, root) extends the older.
// `proof` is not looked at for two of one size.
export async function checkConsistency(one, other, proof) {
  if (one.origin !== other.origin) throw new Malformed("checkpoints of two logs");
  if (one.size === other.size) {
    if (!equal(one.root, other.root)) {
      throw new Malformed(`the log has signed two roots for size ${one.size}`);
    }
    return;
  }
  const [older, newer] = one.size < other.size ? [one, other] : [other, one];
  await verifyConsistency(older.size, newer.size, older.root, newer.root, proof);
}
