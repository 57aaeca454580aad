// The steps of one verification on the page, each with its verdict as it comes, and the
// sentence that says what came of it.

import { toHex } from "../verifier/bytes.js";
import { implementation as ed25519 } from "../verifier/ed25519.js";
import { State } from "../verifier/history.js";
import { implementation as sha2 } from "../verifier/sha2.js";
import { Verdict, asText } from "../verifier/verify.js";
import { KeysFrom } from "../verifier/visit.js";
import { clock, count, element, mark, short } from "./elements.js";
import { meaning, ofHistory, title } from "./words.js";

const MAX_SHOWN = 4000; // characters of a value; the rest is in the file

export class Report {
  // `steps` are those to come, from words.js.
  constructor(steps) {
    this.titles = steps;
    this.started = performance.now();
    this.items = new Map(steps.map(([name, words]) => [name, itemOf(words)]));
    this.element = element("ol", { class: "checks" }, ...this.items.values());
  }

  // Fill in a step of verify.js.
  tell({ name, ok, detail, shown, milliseconds }) {
    const words = title(this.titles, name);
    const time = element("span", { class: "took" }, `${milliseconds.toFixed(1)} ms`);
    this.fill(name, mark(ok ? "good" : "bad", ok ? words : `Fails: ${words}`), detail, time, shown);
  }

  tellHistory(found) {
    const [kind, sentence] = ofHistory(found);
    const words = title(this.titles, "consistency");
    const shown = [];
    if (found.past) shown.push(["Remembered", headText(found.past)]);
    if (found.head) shown.push(["Shown now", headText(found.head)]);
    const time = found.milliseconds
      ? element("span", { class: "took" }, `${found.milliseconds.toFixed(1)} ms`)
      : null;
    this.fill("consistency", mark(kind, words), sentence, time, shown);
  }

  fill(name, verdict, detail, time, shown) {
    const item = this.items.get(name);
    item.replaceChildren(verdict, element("p", {}, detail, " ", time), ...valuesOf(shown));
  }

  get milliseconds() {
    return performance.now() - this.started;
  }
}

function itemOf(words) {
  return element("li", {}, mark("open", words), element("p", {}, "Not checked"));
}

function headText({ origin, size, root }) {
  return `${origin}\nsize ${size}\nroot ${toHex(root)}`;
}

function valuesOf(shown) {
  if (shown.length === 0) return [];
  const rows = shown.flatMap(([label, value]) => {
    const text = asText(value);
    const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
    return [element("dt", {}, label), element("dd", {}, element("code", {}, cut))];
  });
  const summary = element("summary", {}, "What was computed, from what");
  return [element("details", {}, summary, element("dl", {}, ...rows))];
}

// The verdict, as the sentence the reader came for.
export function sentenceOf(result, now = new Date()) {
  const { established: the, verdict } = result;
  if (verdict !== Verdict.VALID) return refusalOf(result, now);
  if (result.counts) return ofBundle(result, now);
  return element(
    "p",
    { class: "answer" },
    mark("good", "Valid"),
    ": signed by key ",
    short(the.key.kid),
    `, entry ${count(the.index)} of the log `,
    element("span", { class: "id" }, the.head.origin),
    ` (${count(the.head.size)} entries), verified in this browser at ${clock(now)}.`,
    historyClause(result.history),
  );
}

function ofBundle({ counts, established: the, history }, now) {
  return element(
    "p",
    { class: "answer" },
    mark("good", "Valid"),
    counts.get(Verdict.VALID) === 1
      ? ": 1 receipt, signed and in the log "
      : `: ${count(counts.get(Verdict.VALID))} receipts, each signed and each in the log `,
    element("span", { class: "id" }, the.head.origin),
    ` (${count(the.head.size)} entries), verified in this browser at ${clock(now)}.`,
    historyClause(history),
  );
}

function historyClause(history) {
  if (!history || ![State.OTHER_KEY, State.NOT_COMPARED].includes(history.state)) return null;
  return element("span", { class: "clause" }, " ", mark("warn", `${ofHistory(history)[1]}.`));
}

function refusalOf({ verdict, field, expected, found, steps, history, bad = [], counts }, now) {
  const why = history?.state === State.INCONSISTENT ? history.why : steps.at(-1).detail;
  const parts = [
    mark("bad", meaning(verdict)),
    ` (${verdict}): ${why}. Checked in this browser at ${clock(now)}.`,
  ];
  const rows = [["Where", field], ["Expected", expected], ["Found", found]]
    .filter(([, value]) => value !== null && value !== undefined)
    .flatMap(([label, value]) => [
      element("dt", {}, label),
      element("dd", {}, element("code", {}, asText(value).slice(0, MAX_SHOWN))),
    ]);
  const values = element("dl", {}, ...rows);
  return element("div", { class: "answer" }, element("p", {}, ...parts), values, listOf(bad, counts));
}

// Of a bundle: how many receipts have which verdict, and those that are not VALID.
function listOf(bad, counts) {
  const items = bad.map(({ file, result }) => {
    const why = ` (${result.verdict}): ${result.steps.at(-1).detail}`;
    return element("li", {}, element("code", {}, file), " ", mark("bad", meaning(result.verdict)), why);
  });
  if (items.length === 0) return null;
  const all = [...counts.values()].reduce((sum, some) => sum + some);
  const told = [...counts].map(([verdict, some]) => `${count(some)} ${verdict}`).join(", ");
  return element(
    "div",
    {},
    element("p", {}, `Of ${count(all)} receipt${all === 1 ? "" : "s"}: ${told}.`),
    element("ul", { class: "bad-receipts" }, ...items),
  );
}

// What the reader has to know beside the verdict.
export function notesOf({ notes, keysFrom }, milliseconds) {
  const known = "The log’s key is the one that this browser remembers.";
  const by = `Ed25519 by ${ed25519.name}, SHA-256 by ${sha2.name}`;
  const told = keysFrom === KeysFrom.MEMORY ? [known, ...notes] : notes;
  const lines = [...told, `${by}; ${Math.round(milliseconds)} ms in all.`];
  return element("ul", { class: "notes quiet" }, ...lines.map((line) => element("li", {}, line)));
}
