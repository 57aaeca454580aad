// Verify the files that the reader gives: what verify_files.js loads. Nothing leaves
// the page.

import { Kind, match, recognize } from "../verifier/dropped.js";
import { twoHistories } from "../verifier/history.js";
import { Malformed } from "../verifier/malformed.js";
import { Verdict } from "../verifier/verify.js";
import { visitReceipt } from "../verifier/visit.js";
import { visitBundle } from "../verifier/visit_bundle.js";
import { count, element, mark } from "./elements.js";
import { outcomeOf } from "./outcome.js";
import { readPins } from "./pins.js";
import { showRemembered } from "./remembered_logs.js";
import { Report, sentenceOf } from "./report.js";
import { OF_A_BUNDLE, OF_A_RECEIPT } from "./words.js";

const MAX_BYTES = 512 * 2 ** 20;

const part = document.getElementById("verify-files");
const form = part.querySelector("[data-pins]");
const verdict = part.querySelector("[data-verdict]");
const place = part.querySelector("[data-report]");

let given = []; // the files, for when the reader pins something and asks again
let round = 0; // of verifying: one that was overtaken shows nothing more

export async function verifyGiven() {
  const mine = ++round;
  const pins = await readPins(form);
  if (pins === null || given.length === 0) return;
  verdict.replaceChildren(element("p", {}, "Verifying…"));
  place.replaceChildren();
  try {
    const results = await verifyFiles(pins, () => mine === round);
    if (mine === round) verdict.replaceChildren(summaryOf(results));
  } catch (error) {
    const words = mark("warn", "Nothing was verified");
    verdict.replaceChildren(element("p", { class: "answer" }, words, `: ${error.message}.`));
    if (!(error instanceof Malformed)) throw error; // a fault of this page: to the console
  } finally {
    showRemembered(part);
  }
}

async function verifyFiles(pins, isCurrent) {
  const files = await Promise.all(given.map(read));
  const of = (kind) => files.filter((file) => file.kind === kind);
  const pinned = withKeySets(pins, of(Kind.JWKS));
  const context = { pinned, getProof: proofFrom(of(Kind.CONSISTENCY)), learns: false };
  context.keySetNotes = of(Kind.KEY_SET).map(({ note }) => note);
  const results = [];
  for (const file of of(Kind.BUNDLE)) {
    if (isCurrent()) results.push(await showBundle(file, context));
  }
  for (const pair of match(files)) {
    if (isCurrent()) results.push(await showPair(pair, context));
  }
  of(Kind.UNKNOWN).forEach((file) => results.push(showUnknown(file)));
  return results;
}

async function read(file) {
  if (file.size > MAX_BYTES) return { name: file.name, kind: Kind.UNKNOWN, why: "it is too large" };
  return recognize({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
}

function withKeySets(pins, jwks) {
  if (pins.keySets !== null || jwks.length === 0) return pins;
  const names = jwks.map(({ name }) => name).join(", ");
  const told = `The receipt keys are those of ${names}.`;
  return { ...pins, keySets: jwks.flatMap(({ keySets }) => keySets), told };
}

// Consistency proofs come from the reader's files too.
function proofFrom(files) {
  return async (from, to) => {
    const proofs = files.map(({ proof }) => proof);
    const found = proofs.find((proof) => proof.from === from && proof.to === to);
    const why = `drop the consistency proof from ${from} to ${to} as well, or verify a receipt on its own page`;
    return found ? { hashes: found.hashes } : { why };
  };
}

async function showPair({ receipt, proof }, context) {
  const name = receipt?.name ?? proof.name;
  if (receipt === null || proof === null) {
    const lacking = receipt === null ? "its receipt" : "its proof (JSON or .tlog-proof)";
    const words = `: drop ${lacking} as well.`;
    return show(name, element("p", { class: "answer" }, mark("open", "Not checked"), words));
  }
  const report = new Report(OF_A_RECEIPT);
  const box = show(name, null, report);
  const files = { receipt: receipt.bytes, proof: proof.bytes };
  const result = await visitReceipt({ ...files, ...context }, (step) => report.tell(step));
  return finish(box, report, result, context);
}

async function showBundle({ name, bytes }, context) {
  const report = new Report(OF_A_BUNDLE);
  const box = show(name, null, report);
  const bar = element("progress", { "aria-label": `Receipts of ${name}` });
  box.element.append(bar);
  const onReceipt = (done, all) => Object.assign(bar, { max: all, value: done });
  const result = await visitBundle({ bytes, ...context }, (step) => report.tell(step), onReceipt);
  bar.remove();
  return finish(box, report, result, context);
}

function showUnknown({ name, why }) {
  const words = mark("warn", "Not a file that can be verified");
  return show(name, element("p", { class: "answer" }, words, `: ${why}.`));
}

function show(name, answer, report = null) {
  const slot = element("div", {}, ...(answer ? [answer] : []));
  const steps = report && element("details", {}, element("summary", {}, "The steps"), report.element);
  const heading = element("h2", { class: "id" }, name);
  const box = element("article", {}, heading, slot, steps);
  place.append(box);
  return { element: box, slot, steps, name, result: null };
}

function finish(box, report, result, { pinned }) {
  if (result.history) report.tellHistory(result.history);
  if (pinned.told) result.notes.push(pinned.told);
  box.slot.replaceChildren(sentenceOf(result));
  box.steps.open = result.verdict !== Verdict.VALID;
  box.element.append(outcomeOf(result, report.milliseconds, verifyGiven));
  return { ...box, result };
}

// One sentence for all that was dropped.
function summaryOf(results) {
  const checked = results.filter(({ result }) => result !== null);
  const valid = checked.filter(({ result }) => result.verdict === Verdict.VALID);
  const two = twoHistories(checked.map(({ name, result }) => ({ name, the: result.established })));
  if (two !== null) {
    const words = ` (INCONSISTENT): ${two[0]} and ${two[1]} have checkpoints of one size, signed with one key, with two roots.`;
    return element("p", { class: "answer" }, mark("bad", "The log shows two histories"), words);
  }
  if (results.length === 1 && checked.length === 1) {
    const [{ slot, steps }] = checked; // whose sentence it is, then
    steps.open = true;
    return slot.firstChild;
  }
  const parts = [[valid.length, "valid"], [checked.length - valid.length, "not valid"], [results.length - checked.length, "not checked"]];
  const words = parts.filter(([number]) => number > 0).map(([number, word]) => `${count(number)} ${word}`);
  const kind = checked.length === 0 ? "open" : valid.length === results.length ? "good" : "bad";
  return element("p", { class: "answer" }, mark(kind, words.join(", ")), ". Each is below.");
}

export function take(files) {
  given = [...files];
  return verifyGiven();
}

export { showRemembered };
