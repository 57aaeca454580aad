// C2SP signed-note: text with signature lines, and cosignatures on it.
//
// A note is `text + "\n" + lines`, each line `— <name> base64(key id || blob)\n`.

import { fromBase64, toBase64 } from "./base64.js";
import { concat, toHex, utf8 } from "./bytes.js";
import { checkPublicKey, verify } from "./ed25519.js";
import { Malformed } from "./malformed.js";
import { sha256 } from "./sha2.js";

// Signature types assigned by C2SP signed-note.
export const ED25519 = 0x01;
export const COSIGNATURE_V1 = 0x04;

const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;
const MAX_SECONDS = 2n ** 63n - 1n;

const KEY_ID_BYTES = 4;
const TIMESTAMP_BYTES = 8;
const LINE_PREFIX = "\u2014 ";

const CONTROLS = /[\u0000-\u0009\u000b-\u001f]/; // all but newline
// A plus, Unicode spaces, lone surrogates.
const NOT_IN_NAMES =
  /[+\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|\p{Surrogate}/u;

// A note that is not to be believed.
export class NoteError extends Malformed {}

// No known key has signed.
export class UnverifiedNote extends NoteError {
  constructor() {
    super("the note has no signature from a known key");
  }
}

// A named public key; its text form is the vkey `name+hex(key id)+base64(type || key)`.
export class VerifierKey {
  constructor(name, keyId, algorithm, publicKey) {
    Object.assign(this, { name, keyId, algorithm, publicKey });
  }

  static async parse(vkey) {
    const [name, , encoded] = splitTwice(vkey, "+");
    let data;
    try {
      data = fromBase64(encoded);
    } catch {
      throw new Malformed(`${JSON.stringify(vkey)} is not a verifier key`);
    }
    const key = await VerifierKey.of(name, data.subarray(1), data[0] ?? 0);
    if (key.text !== vkey) {
      throw new Malformed(`the key id in ${JSON.stringify(vkey)} is of another key`);
    }
    return key;
  }

  static async of(name, publicKey, algorithm = ED25519) {
    if (!isValidName(name)) throw new Malformed(`${JSON.stringify(name)} is not a key name`);
    if (algorithm !== ED25519 && algorithm !== COSIGNATURE_V1) {
      throw new Malformed(`unknown signature type 0x${toHex([algorithm])}`);
    }
    checkPublicKey(publicKey);
    // SHA-256(name || 0x0A || algorithm || public key)[:4]
    const hash = await sha256(concat(utf8(`${name}\n`), [algorithm], publicKey));
    return new VerifierKey(name, hash.subarray(0, KEY_ID_BYTES), algorithm, publicKey);
  }

  get text() {
    const encoded = toBase64(concat([this.algorithm], this.publicKey));
    return `${this.name}+${toHex(this.keyId)}+${encoded}`;
  }
}

// Read a note and check every signature by a known key, once for each key.
//
// Returns the text, the keys that have signed and the signatures nobody here can check.
// Throws NoteError for what is no note and for a signature by a known key that is
// wrong, UnverifiedNote when none is by a known key.
export async function openNote(note, keys) {
  const known = indexKeys(keys);
  const { text, signatures } = parseNote(note);
  const signers = new Map();
  const unverified = new Map();
  for (const signature of signatures) {
    const identity = identify(signature);
    const key = known.get(identity);
    if (key === undefined) {
      unverified.set(`${identity} ${toHex(signature.blob)}`, signature);
    } else if (!signers.has(identity)) {
      await checkSignature(text, signature, key);
      signers.set(identity, key);
    }
  }
  if (signers.size === 0) throw new UnverifiedNote();
  return { text, signers: [...signers.values()], unverified: [...unverified.values()] };
}

// Take a note apart without checking a signature.
export function parseNote(note) {
  checkNote(note);
  // The last empty line divides, as the text may hold empty lines itself.
  const end = note.lastIndexOf("\n\n") + 1;
  const lines = note.slice(end + 1).split("\n");
  if (end === 0 || lines.pop() !== "" || lines.length === 0) {
    throw new NoteError("no signature lines after an empty line");
  }
  if (lines.length > MAX_SIGNATURES) {
    throw new NoteError(`more than ${MAX_SIGNATURES} signatures`);
  }
  return { text: note.slice(0, end), signatures: lines.map(parseLine) };
}

// Key names are not empty and have no plus and no Unicode spaces.
function isValidName(name) {
  return name !== "" && !NOT_IN_NAMES.test(name);
}

function checkNote(note) {
  if (/\p{Surrogate}/u.test(note)) throw new NoteError("not valid UTF-8");
  if (utf8(note).length > MAX_NOTE_BYTES) {
    throw new NoteError(`longer than ${MAX_NOTE_BYTES} bytes`);
  }
  if (CONTROLS.test(note)) throw new NoteError("a control character");
}

function parseLine(line) {
  const [name, encoded] = line.startsWith(LINE_PREFIX)
    ? splitOnce(line.slice(LINE_PREFIX.length), " ")
    : ["", ""];
  if (!isValidName(name)) throw new NoteError("not a signature line");
  let data;
  try {
    data = fromBase64(encoded);
  } catch (error) {
    throw new NoteError(`the signature by ${name} is ${error.message}`);
  }
  if (data.length <= KEY_ID_BYTES) {
    throw new NoteError(`the signature by ${name} is too short`);
  }
  return { name, keyId: data.subarray(0, KEY_ID_BYTES), blob: data.subarray(KEY_ID_BYTES) };
}

function indexKeys(keys) {
  const known = new Map();
  for (const key of keys) {
    const other = known.get(identify(key)) ?? key;
    if (other.text !== key.text) {
      throw new Malformed(`two keys are ${key.name}+${toHex(key.keyId)}`);
    }
    known.set(identify(key), key);
  }
  return known;
}

function identify({ name, keyId }) {
  return `${name}+${toHex(keyId)}`; // no name has a plus
}

async function checkSignature(text, signature, key) {
  const holds =
    key.algorithm === COSIGNATURE_V1
      ? await isCosigned(text, signature.blob, key)
      : await verify(key.publicKey, utf8(text), signature.blob);
  if (!holds) throw new NoteError(`the signature by ${key.name} is not valid`);
}

// C2SP tlog-cosignature: a time in seconds, then Ed25519 over it and the text.
async function isCosigned(text, blob, key) {
  const time = blob.subarray(0, TIMESTAMP_BYTES);
  const seconds = time.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
  if (seconds > MAX_SECONDS) return false;
  const message = utf8(`cosignature/v1\ntime ${seconds}\n${text}`);
  return verify(key.publicKey, message, blob.subarray(TIMESTAMP_BYTES));
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

function splitTwice(text, separator) {
  const [first, rest] = splitOnce(text, separator);
  return [first, ...splitOnce(rest, separator)];
}
