// Bytes as text: UTF-8, hex. All readers here are strict: one spelling for the same
// bytes, anything else is Malformed.

import { Malformed } from "./malformed.js";

const encoder = new TextEncoder();
const LONE_SURROGATE = /\p{Surrogate}/u;

export function utf8(text) {
  // TextEncoder would write another character in its place.
  if (LONE_SURROGATE.test(text)) throw new Malformed("a lone surrogate is not a character");
  return encoder.encode(text);
}

export function fromUtf8(bytes) {
  try {
    // ignoreBOM: a byte order mark is kept, as a character that nobody expects.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("not valid UTF-8");
  }
}

export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text) {
  if (typeof text !== "string" || !/^(?:[0-9a-f]{2})*$/.test(text)) {
    throw new Malformed("not lowercase hex");
  }
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

export function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
