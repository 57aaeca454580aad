// The manifest of an evidence bundle, and the note that signs it.
//
// The manifest is JSON and names every other file with its SHA-256. A note by the log's
// own key names the manifest:
//
//     <origin>/manifest
//     lucid-manifest/v1
//     sha256 <lowercase hex SHA-256 of manifest.json>

import { Malformed } from "./malformed.js";
import { parse } from "./strict_json.js";

const NOTE = /^([^\n]+)\/manifest\nlucid-manifest\/v1\nsha256 ([0-9a-f]{64})\n$/;
const SCHEMA_VERSION = "1.0";

// Return the origin and the manifest's SHA-256 out of the note's text.
export function parseManifestNote(text) {
  const match = NOTE.exec(text);
  if (match === null) throw new Malformed("not a lucid-manifest/v1");
  return { origin: match[1], sha256: match[2] };
}

export function parseManifest(bytes) {
  const document = parse(bytes);
  if (!(document instanceof Map) || document.get("kind") !== "evidence") {
    throw new Malformed("not a manifest of evidence");
  }
  if (document.get("schema_version") !== SCHEMA_VERSION) {
    throw new Malformed(`not of schema_version ${SCHEMA_VERSION}`);
  }
  const log = member(document, "log", isMap);
  const files = member(document, "files", isMap);
  return {
    origin: member(log, "origin", isString),
    size: BigInt(member(log, "size", isInteger)),
    root: member(log, "root", isString),
    vkeys: member(log, "vkeys", isListOfStrings),
    receipts: member(member(document, "counts", isMap), "receipts", isInteger),
    files: new Map([...files].map(([name, file]) => [name, sha256Of(name, file)])),
    madeAt: member(document, "made_at", isString),
  };
}

function member(document, name, isRight) {
  const value = document.get(name);
  if (!isRight(value)) throw new Malformed(`${name} is missing or of another type`);
  return value;
}

function sha256Of(name, file) {
  const digest = isMap(file) ? file.get("sha256") : null;
  if (typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest)) {
    throw new Malformed(`no SHA-256 is given of ${name}`);
  }
  return digest;
}

const isMap = (value) => value instanceof Map;
const isString = (value) => typeof value === "string";
const isInteger = (value) => typeof value === "number";
const isListOfStrings = (value) => Array.isArray(value) && value.every(isString);
