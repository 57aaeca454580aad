// Canonical JSON: RFC 8785, the JSON Canonicalization Scheme (JCS).
//
// It spells strings and numbers as ECMAScript does, so this is short.

import { utf8 } from "./bytes.js";
import { Float } from "./strict_json.js";

// The canonical UTF-8 bytes of a value as strict_json.js reads it.
export function canonicalize(value) {
  return utf8(write(value));
}

function write(value) {
  if (value instanceof Map) return writeObject(value);
  if (value instanceof Float) return String(value.value);
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (typeof value === "number") return String(value);
  return JSON.stringify(value); // a string, true, false, null
}

// Section 3.2.3: names sort by their UTF-16 code units, as sort() does it.
function writeObject(members) {
  const names = [...members.keys()].sort();
  const pairs = names.map((name) => `${JSON.stringify(name)}:${write(members.get(name))}`);
  return `{${pairs.join(",")}}`;
}
