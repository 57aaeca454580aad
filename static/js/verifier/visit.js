// Verify as this browser: with the keys that it knows a log by, and against what it
// remembers of the log from the last visit.

import { fromUtf8, utf8 } from "./bytes.js";
import { State, compare, rememberedKeys } from "./history.js";
import { parseKeySet } from "./key_set.js";
import { Malformed } from "./malformed.js";
import * as memory from "./memory.js";
import { openNote, parseNote } from "./note.js";
import { parse } from "./strict_json.js";
import { HEADER, parseTlogProof } from "./tlog_proof.js";
import { Verdict, unwrap, verify } from "./verify.js";

export const KeysFrom = Object.freeze({ READER: "reader", MEMORY: "memory", FILES: "files" });

// As `verify`. What the reader pins comes first, then what this browser remembers.
// `getProof` is asked for consistency proofs; `learns` says whether a log that is met
// for the first time is remembered. The result has besides:
//
//   keysFrom  where the log's key came from
//   history   how the log stands to what is remembered, of a receipt that is VALID
//   newKey    a vkey that the files name, which is not the one this browser knows
//
// `keySetNotes` are key sets that came beside a .tlog-proof, which has none in it: one
// counts if the log's known key has signed it.
export async function visitReceipt(given, onStep) {
  const { receipt, proof, pinned, getProof, learns, keySetNotes = [] } = given;
  const origin = await peekProof(proof);
  const [known, keysFrom] = await choosePins(origin, pinned);
  const pins = isTlogProof(proof) ? await withKeySet(known, origin, keySetNotes) : known;
  const result = await verify(receipt, proof, pins, onStep);
  const note = result.established.proof?.checkpoint;
  return conclude({ ...result, keysFrom }, note, getProof, learns);
}

export async function choosePins(origin, pinned) {
  if (pinned.logKeys.length > 0) return [pinned, KeysFrom.READER];
  const logKeys = origin === null ? [] : await rememberedKeys(origin);
  return [{ ...pinned, logKeys }, logKeys.length > 0 ? KeysFrom.MEMORY : KeysFrom.FILES];
}

// Add to a result what this browser remembers of the log, by the checkpoint's note.
export async function conclude(result, note, getProof, learns) {
  const the = result.established;
  const origin = the.head?.origin ?? (note && originOf(note));
  const found = { ...result, newKey: origin ? newKeyOf(the, origin) : null };
  if (result.verdict !== Verdict.VALID) return found;
  const start = performance.now();
  const history = await compare(origin, note, getProof);
  history.milliseconds = performance.now() - start;
  if (history.state === State.FIRST && learns) memory.remember(origin, vkeyOf(the), note);
  if (history.state !== State.INCONSISTENT) return { ...found, history };
  return { ...found, history, verdict: Verdict.INCONSISTENT, field: "consistency" };
}

async function withKeySet(pins, origin, notes) {
  if (pins.keySets !== null) return pins;
  for (const note of notes) {
    try {
      const { text, signers } = await openNote(note, pins.logKeys);
      const keySet = await parseKeySet(text);
      const isOfLog = keySet.origin === origin && signers.some(({ name }) => name === origin);
      if (isOfLog) return { ...pins, keySets: [keySet] };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error; // not this one
    }
  }
  return pins;
}

// The key of the log that has signed the checkpoint.
export function vkeyOf(the) {
  const signers = [...the.headSigners.values()];
  return signers.find((key) => key.name === the.head.origin).text;
}

// A key that the files name as the log's own, where this browser knows another.
function newKeyOf(the, origin) {
  const known = memory.recall(origin)?.keys.map(({ vkey }) => vkey);
  const named = the.manifest?.vkeys ?? [the.stated?.get("vkey")];
  const isNew = (vkey) => typeof vkey === "string" && !known.includes(vkey);
  return (known && named.find(isNew)) ?? null;
}

// Whose log the files say they are of, before anything is verified: which keys this
// browser knows it by hangs on that, and nothing else does.
function peekProof(bytes) {
  return peek(() => {
    const checkpoint = isTlogProof(bytes)
      ? parseTlogProof(fromUtf8(bytes)).checkpoint
      : unwrap(parse(bytes), "proof").get("checkpoint");
    return originOf(checkpoint);
  });
}

function isTlogProof(bytes) {
  return utf8(HEADER).every((byte, at) => bytes[at] === byte);
}

export async function peek(look) {
  try {
    return await look();
  } catch (error) {
    if (error instanceof Malformed) return null; // which the verifier says better
    throw error;
  }
}

function originOf(note) {
  return parseNote(note).text.split("\n")[0];
}
