// Ed25519 (RFC 8032) as libsodium does it: strict, one verdict for every input.
//
// Implementations differ about keys and signatures that nobody makes in good faith:
// points of low order, second spellings of a point, S beyond the group order. Such are
// refused here, before an implementation is asked, so that it does not matter which
// one is. It is the browser's own where it has Ed25519, else the equation is computed
// below from noble-ed25519's points.

import { Point } from "../../vendor/noble-ed25519-3.2.0/index.js";
import { toBase64url } from "./base64.js";
import { concat, equal, fromHex, utf8 } from "./bytes.js";
import { Malformed } from "./malformed.js";
import { sha256, sha512 } from "./sha2.js";

export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

const ORDER = Point.CURVE().n; // L, of the base point

// Throw Malformed unless these are the canonical form of a point of the prime-order
// subgroup: 32 bytes, on the curve, not of low order.
export function checkPublicKey(publicKey) {
  if (publicKey.length !== PUBLIC_KEY_BYTES) {
    throw new Malformed(`a public key has ${PUBLIC_KEY_BYTES} bytes`);
  }
  if (!isGoodKey(publicKey)) {
    throw new Malformed("not a canonical point of the prime-order subgroup");
  }
}

// Say whether the signature holds (RFC 8032 section 5.1.7, without the cofactor).
export async function verify(publicKey, message, signature, by = implementation) {
  if (publicKey.length !== PUBLIC_KEY_BYTES) return false;
  if (signature.length !== SIGNATURE_BYTES) return false;
  const [R, S] = [signature.subarray(0, 32), signature.subarray(32)];
  if (littleEndian(S) >= ORDER) return false;
  if (!isGoodKey(publicKey) || readPoint(R) === null) return false;
  return by.verify(publicKey, message, signature);
}

// The JWK thumbprint (RFC 7638, RFC 8037), our `kid`: 43 characters.
export async function thumbprint(publicKey) {
  const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${toBase64url(publicKey)}"}`;
  return toBase64url(await sha256(utf8(jwk)));
}

const judged = new Map(); // by key: a key signs often, and its point costs 1 ms

function isGoodKey(publicKey) {
  const name = toBase64url(publicKey);
  if (!judged.has(name)) judged.set(name, readPoint(publicKey) !== null);
  return judged.get(name);
}

// Return the point, or null for bytes that are no point of the prime-order subgroup or
// not its one spelling. In a signature that holds, R is such a point as well: it is
// [S]B - [k]A, and both B and A are.
function readPoint(bytes) {
  let point;
  try {
    point = Point.fromBytes(bytes); // refuses y beyond the prime, and -0
  } catch {
    return null;
  }
  return point.is0() || !point.isTorsionFree() ? null : point;
}

function littleEndian(bytes) {
  return bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

export const webCrypto = {
  name: "this browser’s WebCrypto",
  async verify(publicKey, message, signature) {
    const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
    return crypto.subtle.verify("Ed25519", key, signature, message);
  },
};

export const noble = {
  name: "noble-ed25519 3.2.0",
  // [S]B - [k]A, spelled as a point is, has to be R to the byte.
  async verify(publicKey, message, signature) {
    const [R, S] = [signature.subarray(0, 32), signature.subarray(32)];
    const k = littleEndian(await sha512(concat(R, publicKey, message))) % ORDER;
    const kA = Point.fromBytes(publicKey).multiply(k, false);
    const expected = Point.BASE.multiply(littleEndian(S), false).subtract(kA);
    return equal(expected.toBytes(), R);
  },
};

// RFC 8032 section 7.1, test 2: whoever has Ed25519 accepts this, and nothing near it.
const KNOWN = {
  publicKey: fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
  message: fromHex("72"),
  signature: fromHex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ),
};

async function passes(candidate) {
  const { publicKey, message, signature } = KNOWN;
  try {
    const right = await candidate.verify(publicKey, message, signature);
    const wrong = await candidate.verify(publicKey, fromHex("73"), signature);
    return right && !wrong;
  } catch {
    return false; // no WebCrypto, or one without Ed25519
  }
}

export const implementation = (await passes(webCrypto)) ? webCrypto : noble;
