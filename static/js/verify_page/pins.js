// What the reader knows from elsewhere: the fields of the page, read.

import { utf8 } from "../verifier/bytes.js";
import { fromJwks } from "../verifier/key_set.js";
import { Malformed } from "../verifier/malformed.js";
import { VerifierKey } from "../verifier/note.js";
import { parse } from "../verifier/strict_json.js";

// Return what is pinned, or null when a field cannot be read, which then says why.
export async function readPins(form) {
  const origin = form.querySelector("#pin-origin").value.trim() || null;
  const logKeys = await readField(form.querySelector("#pin-vkey"), readVkeys);
  const keySets = await readField(form.querySelector("#pin-jwks"), readJwks);
  if (logKeys === undefined || keySets === undefined) return null;
  return { logKeys, keySets, origin };
}

function readVkeys(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return Promise.all(lines.filter(Boolean).map(VerifierKey.parse));
}

function readJwks(text) {
  return text.trim() === "" ? null : fromJwks(parse(utf8(text.trim())));
}

async function readField(field, read) {
  const complaint = field.parentElement.querySelector("[data-error]");
  complaint.textContent = "";
  field.removeAttribute("aria-invalid");
  try {
    return await read(field.value);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    complaint.textContent = `This cannot be read: ${error.message}.`;
    field.setAttribute("aria-invalid", "true");
    field.closest("details").open = true;
    field.focus();
    return undefined;
  }
}
