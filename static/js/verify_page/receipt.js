// Verify the receipt of a page: what verify_here.js loads when the reader asks for it.

import { Malformed } from "../verifier/malformed.js";
import { parseConsistencyProof } from "../verifier/consistency_proof.js";
import { visitReceipt } from "../verifier/visit.js";
import { element, mark } from "./elements.js";
import { outcomeOf } from "./outcome.js";
import { showRemembered } from "./remembered_logs.js";
import { Report, sentenceOf } from "./report.js";
import { OF_A_RECEIPT } from "./words.js";

const part = document.getElementById("verify-here");
const press = part.querySelector("[data-verify]");
const verdict = part.querySelector("[data-verdict]");
const place = part.querySelector("[data-report]");
const PINNED = { logKeys: [], keySets: null, origin: null };

class Unobtainable extends Error {}

async function get(address) {
  try {
    const answer = await fetch(address, { redirect: "error", cache: "no-store" });
    return { answer, bytes: new Uint8Array(await answer.arrayBuffer()) };
  } catch {
    throw new Unobtainable("the server could not be reached; or log in again");
  }
}

async function getFile(address, what) {
  const { answer, bytes } = await get(address);
  if (!answer.ok) throw new Unobtainable(`the server did not give ${what} (${answer.status})`);
  return bytes;
}

// Evidence for history.js, which believes none of it.
async function getProof(from, to) {
  const address = new URL(part.dataset.consistency, location.href);
  address.searchParams.set("from", from);
  address.searchParams.set("to", to);
  try {
    return parseConsistencyProof((await get(address)).bytes);
  } catch (error) {
    if (error instanceof Malformed) return { why: "the server’s answer is no proof" };
    if (error instanceof Unobtainable) return { why: error.message };
    throw error;
  }
}

async function run() {
  const report = new Report(OF_A_RECEIPT);
  place.replaceChildren(report.element);
  const receipt = await getFile(part.dataset.receipt, "the receipt");
  const proof = await getFile(part.dataset.proof, "its proof");
  const given = { receipt, proof, pinned: PINNED, getProof, learns: true };
  const result = await visitReceipt(given, (step) => report.tell(step));
  if (result.history) report.tellHistory(result.history);
  verdict.replaceChildren(sentenceOf(result));
  place.append(outcomeOf(result, report.milliseconds, verifyNow));
}

export async function verifyNow() {
  part.querySelector("[data-before]")?.remove();
  verdict.replaceChildren(element("p", {}, "Verifying…"));
  try {
    await run();
  } catch (error) {
    tellFault(error);
  } finally {
    press.textContent = "Verify again";
    showRemembered(part);
  }
}

// There is no verdict. What is no finding of ours goes on, to the console.
function tellFault(error) {
  const words = mark("warn", "Nothing was verified");
  verdict.replaceChildren(element("p", { class: "answer" }, words, `: ${error.message}.`));
  if (!(error instanceof Malformed || error instanceof Unobtainable)) throw error;
}

export { showRemembered };
