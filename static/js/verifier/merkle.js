// Proofs in the Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1, checked.
//
// Sizes and indexes are BigInts: a log may grow beyond what a number holds exactly.

import { concat, equal } from "./bytes.js";
import { Malformed } from "./malformed.js";
import { sha256 } from "./sha2.js";

export const HASH_BYTES = 32;
export const MAX_SIZE = 2n ** 63n - 1n;

// A proof that proves nothing.
export class ProofError extends Malformed {}

// SHA-256(0x00 || entry)
export function leafHash(entry) {
  return sha256(concat([0x00], entry));
}

// SHA-256(0x01 || left || right)
export function nodeHash(left, right) {
  return sha256(concat([0x01], left, right));
}

// Say for each element of the inclusion proof on which side the sibling is.
export function directions(index, size) {
  checkIndex(index, size);
  const sides = [];
  let [node, last] = [index, size - 1n];
  while (last > 0n) {
    if (isOdd(node)) {
      sides.push("L");
    } else if (node < last) {
      sides.push("R");
    }
    // An even last node has no sibling: it moves up as it is.
    [node, last] = [node >> 1n, last >> 1n];
  }
  return sides;
}

// Return every hash from the leaf up to the root that the proof leads to (RFC 9162
// section 2.1.3.2).
export async function pathFromInclusion(index, size, leaf, proof) {
  const sides = directions(index, size);
  if (proof.length !== sides.length) {
    throw new ProofError(`the proof has ${proof.length} hashes, not ${sides.length}`);
  }
  checkHashes([leaf, ...proof]);
  const path = [leaf];
  for (const [level, sibling] of proof.entries()) {
    const node = path[level];
    const isLeft = sides[level] === "L";
    path.push(await (isLeft ? nodeHash(sibling, node) : nodeHash(node, sibling)));
  }
  return path;
}

// Throw ProofError unless the leaf is at the index of the tree with that root.
export async function verifyInclusion(index, size, leaf, proof, root) {
  const path = await pathFromInclusion(index, size, leaf, proof);
  if (!equal(path.at(-1), root)) {
    throw new ProofError("the inclusion proof leads to another root");
  }
  return path;
}

// Throw ProofError unless the new tree extends the old (RFC 9162 section 2.1.4.2).
//
// Every tree extends the empty one: from size 0, even to size 0, nothing can be proven
// and everything is refused.
export async function verifyConsistency(oldSize, newSize, oldRoot, newRoot, proof) {
  checkSize(oldSize);
  checkSize(newSize);
  if (oldSize > newSize) throw new ProofError("a tree does not shrink");
  if (oldSize === 0n) throw new ProofError("nothing is proven about the empty tree");
  if (oldSize === newSize) {
    if (proof.length > 0 || !equal(oldRoot, newRoot)) {
      throw new ProofError("two trees of one size have one root and no proof");
    }
    return;
  }
  if (proof.length === 0) throw new ProofError("a larger tree needs a proof");
  checkHashes(proof);
  const isComplete = (oldSize & (oldSize - 1n)) === 0n;
  const nodes = isComplete ? [oldRoot, ...proof] : proof;
  const [before, after] = await rootsFromConsistency(oldSize, newSize, nodes);
  if (!equal(before, oldRoot) || !equal(after, newRoot)) {
    throw new ProofError("the consistency proof leads to other roots");
  }
}

async function rootsFromConsistency(oldSize, newSize, nodes) {
  let [node, last] = [oldSize - 1n, newSize - 1n];
  const up = () => ([node, last] = [node >> 1n, last >> 1n]);
  while (isOdd(node)) up();
  let [before, after] = [nodes[0], nodes[0]];
  for (const sibling of nodes.slice(1)) {
    if (last === 0n) throw new ProofError("the consistency proof is too long");
    if (isOdd(node) || node === last) {
      before = await nodeHash(sibling, before);
      after = await nodeHash(sibling, after);
      while (node > 0n && !isOdd(node)) up();
    } else {
      after = await nodeHash(after, sibling);
    }
    up();
  }
  if (last > 0n) throw new ProofError("the consistency proof is too short");
  return [before, after];
}

function isOdd(number) {
  return (number & 1n) === 1n;
}

function checkSize(size) {
  if (size < 0n || size > MAX_SIZE) {
    throw new ProofError("a tree size is an integer from 0 to 2^63-1");
  }
}

function checkIndex(index, size) {
  checkSize(size);
  if (index < 0n || index >= size) {
    throw new ProofError("a leaf index is an integer below the tree size");
  }
}

function checkHashes(hashes) {
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) {
    throw new ProofError(`a hash has ${HASH_BYTES} bytes`);
  }
}
