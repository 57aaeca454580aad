// What this browser remembers of logs, to be looked at and to be forgotten.

import { toHex } from "../verifier/bytes.js";
import { parseCheckpoint } from "../verifier/checkpoint.js";
import { Malformed } from "../verifier/malformed.js";
import * as memory from "../verifier/memory.js";
import { parseNote } from "../verifier/note.js";
import { button, count, day, element } from "./elements.js";

export function showRemembered(part) {
  const box = part.querySelector("[data-remembered]");
  const origins = memory.origins();
  const show = (origin) => itemOf(origin, () => forget(part, origin));
  const nothing = element("p", {}, "Nothing yet.");
  box
    .querySelector("[data-remembered-logs]")
    .replaceChildren(...(origins.length ? origins.map(show) : [nothing]));
}

function forget(part, origin) {
  memory.forget(origin);
  showRemembered(part);
  part.querySelector("[data-remembered] summary").focus();
}

function itemOf(origin, onForget) {
  const act = button("Forget", onForget, { "aria-label": `Forget ${origin}` });
  const head = element("h3", { class: "id" }, origin);
  return element("section", {}, head, bodyOf(origin), element("p", {}, act));
}

function bodyOf(origin) {
  try {
    const { keys, checkpoint, seen } = memory.recall(origin);
    const { size, root } = parseCheckpoint(parseNote(checkpoint).text);
    const rows = [
      ["Entries", `${count(size)}, verified ${day(new Date(seen))}`],
      ["Root", element("code", {}, toHex(root))],
      ...keys.map(({ vkey, since }) => [
        `Key, since ${day(new Date(since))}`,
        element("code", {}, vkey),
      ]),
    ];
    const cells = rows.flatMap(([label, value]) => [
      element("dt", {}, label),
      element("dd", {}, value),
    ]);
    return element("dl", {}, ...cells);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return element("p", {}, `It cannot be read: ${error.message}.`);
  }
}
