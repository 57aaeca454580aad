// JSON as I-JSON (RFC 7493) allows it: one reading, the same for every parser.
//
// JSON.parse would take the last of two members with one name and round large numbers.
// Here both are refused, as are lone surrogates, NaN and nesting deeper than 32.
//
// Objects become Maps, so that no name means anything to JavaScript. Integers become
// numbers, all other numbers a Float: 3 and 3.0 are not the same in every language.

import { fromUtf8 } from "./bytes.js";
import { Malformed } from "./malformed.js";

export const MAX_DEPTH = 32;

const MAX_INTEGER = Number.MAX_SAFE_INTEGER; // 2^53 - 1
const EXPONENT_FROM = 1e21; // from here on RFC 8785 writes an exponent
const MAX_DIGITS = 4300; // of an integer that the server's parser would look at
const MAX_RECURSION = 900; // likewise; what is deeper has no path to name

const TOO_DEEP = `Nested deeper than ${MAX_DEPTH} levels.`;
const TOO_LARGE = "An integer beyond 2^53-1 cannot be represented exactly.";

export class Float {
  constructor(value) {
    this.value = value;
  }
}

// Parse one document (RFC 8259): UTF-8 without a byte order mark.
export function parse(bytes) {
  if (bytes.length === 0) throw new Malformed("The document is empty.");
  const text = fromUtf8(bytes);
  if (text.startsWith("\ufeff")) throw new Malformed("A byte order mark is not allowed.");
  const value = new Parser(text).document();
  check(value, 1);
  return value;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const CODE_UNIT = /[0-9A-Fa-f]{4}/y;
const ESCAPES = {
  '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t",
};

class Parser {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.depth = 0;
  }

  document() {
    this.take(SPACE);
    const value = this.value();
    this.take(SPACE);
    if (this.at < this.text.length) this.fail("one document and nothing after it");
    return value;
  }

  value() {
    switch (this.text[this.at]) {
      case "{": return this.nested(() => this.object());
      case "[": return this.nested(() => this.array());
      case '"': return this.string();
      case "t": return this.word("true", true);
      case "f": return this.word("false", false);
      case "n": return this.word("null", null);
      default: return this.number();
    }
  }

  nested(read) {
    if (++this.depth > MAX_RECURSION) throw new Malformed(TOO_DEEP);
    this.at += 1;
    this.take(SPACE);
    const value = read();
    this.depth -= 1;
    return value;
  }

  object() {
    const pairs = [];
    if (this.skip("}")) return new Map();
    do {
      this.take(SPACE);
      const name = this.string();
      this.take(SPACE);
      if (!this.skip(":")) this.fail("a colon");
      this.take(SPACE);
      pairs.push([name, this.value()]);
      this.take(SPACE);
    } while (this.skip(","));
    if (!this.skip("}")) this.fail("a comma or a closing brace");
    return uniqueMembers(pairs);
  }

  array() {
    const items = [];
    if (this.skip("]")) return items;
    do {
      this.take(SPACE);
      items.push(this.value());
      this.take(SPACE);
    } while (this.skip(","));
    if (!this.skip("]")) this.fail("a comma or a closing bracket");
    return items;
  }

  string() {
    if (!this.skip('"')) this.fail("a string");
    let text = this.take(PLAIN);
    while (this.skip("\\")) text += this.escape() + this.take(PLAIN);
    if (!this.skip('"')) this.fail("the end of a string");
    return text;
  }

  escape() {
    if (this.skip("u")) {
      const digits = this.take(CODE_UNIT);
      if (!digits) this.fail("four hexadecimal digits");
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const char = this.text[this.at];
    if (!Object.hasOwn(ESCAPES, char ?? "")) this.fail("an escape");
    this.at += 1;
    return ESCAPES[char];
  }

  number() {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) this.fail("a value");
    const [literal, fraction, exponent] = match;
    this.at += literal.length;
    if (fraction || exponent) return new Float(Number(literal));
    if (literal.replace("-", "").length > MAX_DIGITS) throw new Malformed(TOO_LARGE);
    return Number(literal);
  }

  word(letters, value) {
    if (!this.text.startsWith(letters, this.at)) this.fail("a value");
    this.at += letters.length;
    return value;
  }

  skip(char) {
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [""];
    this.at += found.length;
    return found;
  }

  fail(expected) {
    throw new Malformed(`Malformed JSON: expected ${expected} at character ${this.at}.`);
  }
}

function uniqueMembers(pairs) {
  const members = new Map();
  for (const [name, value] of pairs) {
    if (members.has(name)) {
      throw new Malformed(`Duplicate member name ${JSON.stringify(name)}.`, visible(name));
    }
    members.set(name, value);
  }
  return members;
}

function check(value, depth) {
  if (typeof value === "string") {
    checkText(value);
  } else if (typeof value === "number") {
    if (Math.abs(value) > MAX_INTEGER) throw new Malformed(TOO_LARGE);
  } else if (value instanceof Float) {
    checkFloat(Math.abs(value.value));
  } else if (value instanceof Map) {
    checkMembers(value, depth);
  } else if (Array.isArray(value)) {
    checkMembers(value.entries(), depth);
  }
}

function checkText(text) {
  if (/\p{Surrogate}/u.test(text)) {
    throw new Malformed("A lone surrogate is not a character.");
  }
}

function checkFloat(size) {
  if (MAX_INTEGER < size && size < EXPONENT_FROM) throw new Malformed(TOO_LARGE);
  if (size === Infinity) throw new Malformed("A number is beyond the range of a double.");
}

function checkMembers(members, depth) {
  if (depth > MAX_DEPTH) throw new Malformed(TOO_DEEP);
  for (const [name, member] of members) {
    try {
      checkText(String(name));
      check(member, depth + 1);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      const path = error.field === null ? `${name}` : `${name}.${error.field}`;
      throw new Malformed(error.message, visible(path));
    }
  }
}

// A name may be what is wrong: a lone surrogate is shown by its number.
function visible(name) {
  return name.replace(/\p{Surrogate}/gu, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);
}
