// Base64 (RFC 4648 section 4) in its one canonical form, and base64url without padding
// (section 5), which JSON Web Keys use.

import { Malformed } from "./malformed.js";

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function toBase64(bytes) {
  // In pieces, as a call has room for so many arguments only.
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(binary);
}

export function fromBase64(text) {
  // atob alone would let white space and missing padding pass.
  if (!BASE64.test(text)) throw new Malformed("not base64");
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  // Leftover bits that are not zero would be a second spelling of the same bytes.
  if (toBase64(bytes) !== text) throw new Malformed("not canonical base64");
  return bytes;
}

export function toBase64url(bytes) {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Malformed("not base64url");
  const padding = "=".repeat((4 - (text.length % 4)) % 4);
  return fromBase64(text.replaceAll("-", "+").replaceAll("_", "/") + padding);
}
