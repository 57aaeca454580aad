// What came of one verification, below its steps: the sentence, what to know about it,
// and what the reader may decide.

import * as memory from "../verifier/memory.js";
import { State } from "../verifier/history.js";
import { KeysFrom, vkeyOf } from "../verifier/visit.js";
import { Verdict } from "../verifier/verify.js";
import { button, element, mark } from "./elements.js";
import { notesOf } from "./report.js";

// `onDecision` is called when the reader has made this browser remember something.
export function outcomeOf(result, milliseconds, onDecision) {
  const parts = [
    notesOf(result, milliseconds),
    newKeyOf(result, onDecision),
    firstVisitOf(result, onDecision),
    evidenceOf(result.history),
  ];
  return element("div", { class: "outcome" }, ...parts);
}

// A key other than the one this browser knows the log by is never taken silently: not
// even beside it on one checkpoint, as anybody can add a line with a key of theirs.
function newKeyOf({ newKey, established: the, keysFrom }, onDecision) {
  if (newKey === null) return null;
  const origin = newKey.split("+")[0];
  const known = memory.recall(origin);
  if (known === null) return null;
  const alone = keysFrom === KeysFrom.MEMORY && !the.head;
  const words = alone ? "The log shows another key" : "The log shows another key beside the known one";
  const accept = () => {
    memory.rememberKey(origin, newKey);
    onDecision();
  };
  return element(
    "div",
    { class: "decision" },
    element("p", {}, mark("warn", words), "."),
    element(
      "dl",
      {},
      element("dt", {}, "This browser knows"),
      element("dd", {}, element("code", {}, known.keys.map(({ vkey }) => vkey).join("\n"))),
      element("dt", {}, "The files name"),
      element("dd", {}, element("code", {}, newKey)),
    ),
    element(
      "p",
      {},
      "Keys change, and whoever wants to show you another history needs another key as well. Ask the log’s operator, over a way other than this server, whether the second key is theirs.",
    ),
    element("p", {}, button("It is theirs: remember it too", accept)),
  );
}

function firstVisitOf(result, onDecision) {
  const { history, established: the, keysFrom, verdict } = result;
  if (verdict !== Verdict.VALID || history.state !== State.FIRST) return null;
  const { origin } = the.head;
  if (memory.recall(origin) !== null) {
    const words = "From now on this browser remembers the log’s key and this checkpoint.";
    return element("p", {}, words);
  }
  const accept = () => {
    memory.remember(origin, vkeyOf(the), the.note ?? the.proof.checkpoint);
    onDecision();
  };
  const trust = keysFrom === KeysFrom.READER ? "" : " Its key came with the files: compare it first.";
  return element(
    "p",
    {},
    `This browser does not remember the log yet.${trust} `,
    button("Remember it", accept),
  );
}

// Two checkpoints that cannot be of one history prove it to everybody: keep them.
function evidenceOf(history) {
  if (history?.state !== State.INCONSISTENT) return null;
  const text = `${history.known.checkpoint}\n${"-".repeat(72)}\n\n${history.note}`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = { href: url, download: "two-checkpoints.txt" };
  return element(
    "div",
    { class: "decision" },
    element(
      "p",
      {},
      "What this browser remembers is left as it is. Both checkpoints are signed with the log’s key, and together they are evidence against it: keep them, and show them to others.",
    ),
    element("p", {}, element("a", link, "Save both checkpoints")),
  );
}
