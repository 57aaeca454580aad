// SHA-256 and SHA-512: the browser's own, or noble-hashes where a page has none.
//
// Browsers keep WebCrypto from pages that came over plain http, off localhost.

const OWN = { name: "this browser’s WebCrypto", digest: bySubtle };

function bySubtle(algorithm, bytes) {
  return crypto.subtle.digest(algorithm, bytes).then((digest) => new Uint8Array(digest));
}

async function byNoble() {
  const { sha256, sha512 } = await import("../../vendor/noble-hashes-2.4.0/sha2.js");
  const hashes = { "SHA-256": sha256, "SHA-512": sha512 };
  return {
    name: "noble-hashes 2.4.0",
    digest: async (algorithm, bytes) => hashes[algorithm](bytes),
  };
}

export const implementation = globalThis.crypto?.subtle ? OWN : await byNoble();

export function sha256(bytes) {
  return implementation.digest("SHA-256", bytes);
}

export function sha512(bytes) {
  return implementation.digest("SHA-512", bytes);
}
