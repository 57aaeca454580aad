// What this browser remembers of each log: the keys that it knows the log by, and the
// newest checkpoint that it has verified. It is kept in this browser and sent nowhere.

import { Malformed } from "./malformed.js";

const PREFIX = "lucid.log.";

// What is remembered of a log, or null: `keys` (each a `vkey`, with the time since when
// it is known), the `checkpoint` (a note) and when it was verified (`seen`).
export function recall(origin) {
  const kept = localStorage.getItem(PREFIX + origin);
  if (kept === null) return null;
  try {
    const { keys, checkpoint, seen } = JSON.parse(kept);
    return { origin, keys: keys.map(({ vkey, since }) => ({ vkey, since })), checkpoint, seen };
  } catch {
    throw new Malformed(`what this browser remembers of ${origin} cannot be read`);
  }
}

export function origins() {
  return Object.keys(localStorage)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => name.slice(PREFIX.length))
    .sort();
}

// Begin to know a log: by a key, with a checkpoint that this key has signed.
export function remember(origin, vkey, checkpoint) {
  const now = new Date().toISOString();
  keep({ origin, keys: [{ vkey, since: now }], checkpoint, seen: now });
}

export function rememberCheckpoint(origin, checkpoint) {
  keep({ ...recall(origin), checkpoint, seen: new Date().toISOString() });
}

// Know a log by one more key: for whoever has compared it with the log's operator.
export function rememberKey(origin, vkey) {
  const known = recall(origin);
  keep({ ...known, keys: [...known.keys, { vkey, since: new Date().toISOString() }] });
}

export function forget(origin) {
  localStorage.removeItem(PREFIX + origin);
}

function keep({ origin, ...known }) {
  localStorage.setItem(PREFIX + origin, JSON.stringify(known));
}
