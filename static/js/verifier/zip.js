// The files of a zip, read without unpacking anything anywhere.
//
// The list at the zip's end says what there is; nothing is believed of it that is not
// so: a file is read to the length that the list says and no further, and all lengths
// together have a limit, so that a small zip cannot fill the memory.

import { fromUtf8 } from "./bytes.js";
import { Malformed } from "./malformed.js";

const MAX_FILES = 65_000;
const MAX_LIST = 8 * 2 ** 20; // bytes of the list itself
const MAX_TOTAL = 512 * 2 ** 20; // bytes; a bundle of 10,000 receipts has some 30 MB

const END = { signature: 0x06054b50, bytes: 22 };
const LISTED = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const ZIP64_LOCATOR = { signature: 0x07064b50, bytes: 20 };

const ENCRYPTED = 0x1;
const STORED = 0;
const DEFLATED = 8;

export function isZip(bytes) {
  return bytes.length >= 4 && bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] < 9;
}

// Read the list of files. `limitOf` returns how long a file of a name may be, or null
// where there can be no such file, which makes the zip Malformed.
export function openZip(bytes, limitOf) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map();
  let [total, packed] = [0, 0];
  for (const file of list(view, bytes)) {
    if (file.name === "receipts/" || file.name === "proofs/") continue;
    check(file, limitOf);
    if (files.has(file.name)) throw new Malformed("there are two files of this name", file.name);
    files.set(file.name, file);
    total += file.size;
    packed += file.packedSize;
  }
  if (total > MAX_TOTAL) throw new Malformed(`more than ${MAX_TOTAL} bytes of files`, "bundle");
  if (packed > bytes.length) throw new Malformed("files overlap in the zip", "bundle");
  return new Archive(bytes, view, files);
}

class Archive {
  constructor(bytes, view, files) {
    Object.assign(this, { bytes, view, files });
    this.names = new Set(files.keys());
  }

  async read(name) {
    const file = this.files.get(name);
    if (file === undefined) throw new Malformed("the file is missing", name);
    const packed = this.packed(file);
    const data = file.method === STORED ? packed : await inflate(packed, file);
    if (data.length !== file.size) throw new Malformed("is not as long as the zip says", name);
    return data;
  }

  // Before its bytes each file has a head of its own, with names of its own length.
  packed({ name, at, packedSize }) {
    const { view } = this;
    const isThere = at >= 0 && at + LOCAL.bytes <= view.byteLength;
    if (!isThere || view.getUint32(at, true) !== LOCAL.signature) {
      throw new Malformed("cannot be unpacked: it is not where the zip says", name);
    }
    const lengths = view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
    const start = at + LOCAL.bytes + lengths;
    return this.bytes.subarray(start, start + packedSize);
  }
}

function* list(view, bytes) {
  const end = view.byteLength - END.bytes;
  if (end < 0 || view.getUint32(end, true) !== END.signature) {
    throw new Malformed("not a zip, or one that was cut off: it has no end", "bundle");
  }
  const locator = end - ZIP64_LOCATOR.bytes;
  const isZip64 = locator >= 0 && view.getUint32(locator, true) === ZIP64_LOCATOR.signature;
  if (isZip64 || view.getUint16(end + 20, true) !== 0) {
    throw new Malformed("a zip of another kind than bundles are", "bundle");
  }
  const count = view.getUint16(end + 10, true);
  const length = view.getUint32(end + 12, true);
  if (count > MAX_FILES || length > MAX_LIST) {
    throw new Malformed(`a zip of more than ${MAX_FILES} files`, "bundle");
  }
  // The list ends where the end begins. All places in it are counted from the zip's
  // beginning, before which a file may have something else.
  const first = end - length - view.getUint32(end + 16, true);
  for (let at = end - length; at < end; ) {
    const file = readListed(view, bytes, at, end);
    yield { ...file, at: first + file.at };
    at = file.next;
  }
}

function readListed(view, bytes, at, end) {
  if (at < 0 || at + LISTED.bytes > end || view.getUint32(at, true) !== LISTED.signature) {
    throw new Malformed("not a zip: its list of files is broken", "bundle");
  }
  const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
  const name = bytes.subarray(at + LISTED.bytes, at + LISTED.bytes + lengths[0]);
  return {
    name: fromUtf8(name),
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    packedSize: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    at: view.getUint32(at + 42, true),
    next: at + LISTED.bytes + lengths[0] + lengths[1] + lengths[2],
  };
}

function check({ name, flags, method, size }, limitOf) {
  const limit = limitOf(name);
  if (limit === null) throw new Malformed("no file of an evidence bundle", name);
  if (flags & ENCRYPTED) throw new Malformed("is encrypted", name);
  if (method !== STORED && method !== DEFLATED) {
    throw new Malformed("is packed in a way that bundles are not", name);
  }
  if (size > limit) throw new Malformed(`longer than ${limit} bytes`, name);
}

// Unpack up to the length that the list says; what goes on beyond it is Malformed.
async function inflate(packed, { name, size }) {
  const data = new Uint8Array(size);
  let end = 0;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const reader = stream.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (end + part.value.length > size) {
        await reader.cancel();
        throw new Malformed("is not as long as the zip says", name);
      }
      data.set(part.value, end);
      end += part.value.length;
    }
  } catch (error) {
    if (error instanceof Malformed) throw error;
    throw new Malformed("cannot be unpacked", name); // what the stream says of bad bytes
  }
  return data.subarray(0, end);
}
