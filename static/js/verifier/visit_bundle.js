// Verify an evidence bundle as this browser: see visit.js.

import { verifyBundle } from "./bundle.js";
import { parseManifest } from "./manifest.js";
import { choosePins, conclude, peek } from "./visit.js";
import { openZip } from "./zip.js";

export async function visitBundle({ bytes, pinned, getProof, learns }, onStep, onReceipt) {
  const [pins, keysFrom] = await choosePins(await peek(() => originOf(bytes)), pinned);
  const result = await verifyBundle(bytes, pins, onStep, onReceipt);
  return conclude({ ...result, keysFrom }, result.established.note, getProof, learns);
}

async function originOf(bytes) {
  const archive = openZip(bytes, () => Infinity);
  return parseManifest(await archive.read("manifest.json")).origin;
}
