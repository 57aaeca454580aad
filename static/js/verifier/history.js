// Whether the log is still the one that this browser remembers from the last visit.
//
// Somebody who keeps two logs, and shows one to each reader, has to keep it up for ever:
// each later checkpoint has to extend the one that the reader's browser remembers.

import { equal } from "./bytes.js";
import { parseCheckpoint } from "./checkpoint.js";
import { checkConsistency } from "./consistency.js";
import { Malformed } from "./malformed.js";
import * as memory from "./memory.js";
import { UnverifiedNote, VerifierKey, openNote } from "./note.js";

export const State = Object.freeze({
  FIRST: "first", // nothing is remembered of this log
  SAME: "same",
  GROWN: "grown",
  EARLIER: "earlier", // a head from before the remembered one, of its history
  OTHER_KEY: "other key", // signed, but by no key that is remembered
  NOT_COMPARED: "not compared",
  INCONSISTENT: "INCONSISTENT",
});

// The keys that this browser knows a log by.
export function rememberedKeys(origin) {
  const known = memory.recall(origin);
  return Promise.all((known?.keys ?? []).map(({ vkey }) => VerifierKey.parse(vkey)));
}

// Compare a checkpoint (a note, verified already) with the remembered one, and remember
// the newer. `getProof(from, to)` gets the hashes of a consistency proof from anywhere,
// or says { size } when the log has fewer than `to` entries now, or { why } not.
export async function compare(origin, note, getProof) {
  const known = memory.recall(origin);
  if (known === null) return { state: State.FIRST };
  const keys = await rememberedKeys(origin);
  const past = await openHead(known.checkpoint, keys);
  let head;
  try {
    head = await openHead(note, keys);
  } catch (error) {
    if (error instanceof UnverifiedNote) return { state: State.OTHER_KEY, known };
    throw error;
  }
  const found = await judge(past, head, getProof);
  if (found.state === State.GROWN) memory.rememberCheckpoint(origin, note);
  return { ...found, past, head, known, note };
}

async function judge(past, head, getProof) {
  const [older, newer] = past.size < head.size ? [past, head] : [head, past];
  const proof = older.size === newer.size ? { hashes: [] } : await getProof(older.size, newer.size);
  if (proof.size !== undefined && proof.size < newer.size) {
    const why = `the log says that it has ${proof.size} entries, and has signed ${newer.size}`;
    return { state: State.INCONSISTENT, why };
  }
  if (proof.hashes === undefined) {
    return { state: State.NOT_COMPARED, why: proof.why ?? "the server gave no proof" };
  }
  try {
    await checkConsistency(older, newer, proof.hashes);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { state: State.INCONSISTENT, why: error.message };
  }
  if (older.size === newer.size) return { state: State.SAME };
  return { state: head === newer ? State.GROWN : State.EARLIER };
}

async function openHead(note, keys) {
  return parseCheckpoint((await openNote(note, keys)).text);
}

// Find two files, of those that were verified together, whose checkpoints are signed with
// one key for one size and have two roots. `files` have a name and what was established.
export function twoHistories(files) {
  const seen = new Map();
  for (const { name, the } of files) {
    for (const keyId of the.headSigners?.keys() ?? []) {
      const place = `${the.head.origin} ${keyId} ${the.head.size}`;
      const other = seen.get(place) ?? { name, root: the.head.root };
      if (!equal(other.root, the.head.root)) return [other.name, name];
      seen.set(place, other);
    }
  }
  return null;
}
