// The receipt keys of a log, and for which of its entries each counts: from the signed
// key set that comes with a proof, or from a JWKS that the reader got elsewhere.
//
// The signed key set is a note with the text
//
//     <origin>/keys
//     lucid-key-set/v1
//     size <tree size it was made at>
//     <kid> <base64 of the public key> <first index> <last index or "-"> <status>

import { fromBase64, fromBase64url, toBase64 } from "./base64.js";
import { parseDecimal } from "./checkpoint.js";
import { checkPublicKey, thumbprint } from "./ed25519.js";
import { Malformed } from "./malformed.js";
import { MAX_SIZE } from "./merkle.js";

const VERSION = "lucid-key-set/v1";
const NAME_SUFFIX = "/keys";
const STATUSES = ["active", "retired", "revoked"];

// A key and the log indexes, both inclusive, in which its signatures count.
class ReceiptKey {
  static async of(kid, publicKey, firstIndex, lastIndex, status) {
    const key = Object.assign(new ReceiptKey(), { kid, publicKey, firstIndex, lastIndex, status });
    await key.check();
    return key;
  }

  async check() {
    checkPublicKey(this.publicKey);
    if (this.kid !== (await thumbprint(this.publicKey))) {
      throw new Malformed(`${JSON.stringify(this.kid)} is not the thumbprint of its key`);
    }
    if (!STATUSES.includes(this.status)) throw new Malformed(`unknown status ${this.status}`);
    checkIndex(this.firstIndex);
    if (this.lastIndex !== null) {
      checkIndex(this.lastIndex);
    } else if (this.status !== "active") {
      throw new Malformed(`a ${this.status} key has a last index`);
    }
  }

  countsAt(index) {
    return this.firstIndex <= index && index <= (this.lastIndex ?? MAX_SIZE);
  }

  // Whether only a revocation keeps signatures at the index from counting.
  isRevokedAt(index) {
    if (this.status !== "revoked" || this.lastIndex === null) return false;
    return index > this.lastIndex || this.lastIndex < this.firstIndex;
  }

  get line() {
    const { kid, publicKey, firstIndex, lastIndex, status } = this;
    return `${kid} ${toBase64(publicKey)} ${firstIndex} ${lastIndex ?? "-"} ${status}\n`;
  }
}

// The receipt keys of one log, when it had `size` entries. A JWKS does not say when it
// was made: `size` is null. It has the log's own keys as well, of which the revoked
// ones are kept: a checkpoint by such a key counts up to a last leaf.
export class KeySet {
  constructor(origin, size, keys, revokedLogKeys = []) {
    if (new Set(keys.map((key) => key.kid)).size !== keys.length) {
      throw new Malformed("a key is listed twice");
    }
    Object.assign(this, { origin, size, keys, revokedLogKeys });
  }

  find(kid) {
    return this.keys.find((key) => key.kid === kid) ?? null;
  }

  // Whether the set is recent enough to tell of the entry at the index. Whoever stole
  // a key could otherwise show a set from before its revocation.
  speaksFor(index) {
    return this.size === null || index < this.size;
  }

  get text() {
    const head = `${this.origin}${NAME_SUFFIX}\n${VERSION}\nsize ${this.size}\n`;
    return head + this.keys.map((key) => key.line).join("");
  }
}

// Read the text of a key set note, in its one spelling.
export async function parseKeySet(text) {
  const [name, ...lines] = text.split("\n");
  if (!name.endsWith(NAME_SUFFIX) || lines.length < 3 || lines[0] !== VERSION) {
    throw new Malformed(`not a ${VERSION}`);
  }
  const size = parseDecimal(withoutPrefix(lines[1], "size "));
  const keys = await Promise.all(lines.slice(2, -1).map(parseLine));
  const keySet = new KeySet(name.slice(0, -NAME_SUFFIX.length), size, keys);
  if (keySet.text !== text) throw new Malformed("not the one spelling of this key set");
  return keySet;
}

async function parseLine(line) {
  const words = line.split(" ");
  if (words.length !== 5) throw new Malformed("a key set line has five words");
  const [kid, publicKey, first, last, status] = words;
  return ReceiptKey.of(
    kid,
    fromBase64(publicKey),
    parseDecimal(first),
    last === "-" ? null : parseDecimal(last),
    status,
  );
}

// Read the keys out of a JWKS (RFC 7517, RFC 8037), as strict_json.js parsed it: a set
// for each log. Takes the answer of GET /v1/keys; anything else is Malformed.
export async function fromJwks(jwks) {
  const listed = jwks instanceof Map ? jwks.get("keys") : null;
  if (!Array.isArray(listed) || !listed.every((jwk) => jwk instanceof Map)) {
    throw new Malformed("a JWKS is an object with an array of keys");
  }
  const keys = listed.filter((jwk) => jwk.get("purpose") === "receipt");
  const revoked = listed.filter(
    (jwk) => jwk.get("purpose") === "checkpoint" && jwk.get("status") === "revoked",
  );
  const origins = new Set(keys.map((jwk) => jwk.get("origin")));
  const ofLog = (jwks_, origin) =>
    Promise.all(jwks_.filter((jwk) => jwk.get("origin") === origin).map(fromJwk));
  return Promise.all(
    [...origins].map(
      async (origin) =>
        new KeySet(origin, null, await ofLog(keys, origin), await ofLog(revoked, origin)),
    ),
  );
}

function fromJwk(jwk) {
  const kind = ["kty", "crv", "use"].map((name) => jwk.get(name)).join();
  const [x, last] = [jwk.get("x"), jwk.get("last_index")];
  if (kind !== "OKP,Ed25519,sig" || typeof x !== "string" || last === undefined) {
    throw new Malformed("a key is an Ed25519 key for signatures");
  }
  return ReceiptKey.of(
    jwk.get("kid"),
    fromBase64url(x),
    fromInteger(jwk.get("first_index")),
    last === null ? null : fromInteger(last),
    jwk.get("status"),
  );
}

function fromInteger(number) {
  if (typeof number !== "number") throw new Malformed("a log index is an integer");
  return BigInt(number);
}

function checkIndex(index) {
  if (index < 0n || index > MAX_SIZE) {
    throw new Malformed("a log index is an integer from 0 to 2^63-1");
  }
}

function withoutPrefix(text, prefix) {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}
