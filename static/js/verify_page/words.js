// What each step asks and each verdict means, in words.

import { State } from "../verifier/history.js";
import { Verdict } from "../verifier/verify.js";

export const OF_A_RECEIPT = [
  ["receipt", "The receipt can be read, in one way only"],
  ["receipt_hash", "Its hash is the hash of what it says"],
  ["proof", "The proof can be read"],
  ["checkpoint", "The log has signed the head that the proof is under"],
  ["key_set", "The log says which keys sign its receipts"],
  ["receipt_signature", "One of these keys has signed the receipt"],
  ["inclusion", "The receipt is in the log, at its place"],
  ["agreement", "What the files repeat is what was computed"],
  ["key_range", "The key counted at that place"],
  ["consistency", "The log extends what this browser saw of it before"],
];

export const OF_A_BUNDLE = [
  ["manifest", "The list of files can be read"],
  ["signature", "The log has signed the list"],
  ["files", "Each file is as it was made; none is missing or added"],
  ["checkpoint", "The log has signed its head"],
  ["key_set", "The log says which keys sign its receipts"],
  ["receipts", "Each receipt is signed, and in the log at its place"],
  ["consistency", "The log extends what this browser saw of it before"],
];

const MEANINGS = {
  [Verdict.INVALID]: "Not valid",
  [Verdict.UNSIGNED]: "Not signed",
  [Verdict.UNKNOWN_KEY]: "Signed by a key that is not known",
  [Verdict.KEY_REVOKED]: "The key did not count there",
  [Verdict.NOT_IN_LOG]: "Not in the log",
  [Verdict.INCONSISTENT]: "The log shows two histories",
};

// The name of a step that is not in the lists, as `place` of a bundle's receipt.
export function title(steps, name) {
  return steps.find(([known]) => known === name)?.[1] ?? name;
}

export function meaning(verdict) {
  return MEANINGS[verdict];
}

// How a log stands to what this browser remembers: a mark and a sentence.
export function ofHistory({ state, past, head, known, why }) {
  switch (state) {
    case State.FIRST:
      return ["open", "This browser has seen nothing of this log before"];
    case State.SAME:
      return ["good", `The same ${past.size} entries as this browser remembers`];
    case State.GROWN:
      return ["good", `All ${past.size} entries that this browser remembers are among the ${head.size}`];
    case State.EARLIER:
      return ["good", `Its ${head.size} entries are the first of the ${past.size} that this browser remembers`];
    case State.OTHER_KEY:
      return ["warn", `Not compared: signed by another key than the one this browser knows ${known.origin} by`];
    case State.NOT_COMPARED:
      return ["warn", `Not compared: ${why}`];
    default:
      return ["bad", `Not of the history that this browser remembers: ${why}`];
  }
}
