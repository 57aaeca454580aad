// Base58 with Bitcoin's alphabet: how receipts spell a public key.

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

// The bytes are written as one number; each leading zero byte is a leading "1".
export function toBase58(bytes) {
  let number = bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  let digits = "";
  while (number > 0n) {
    digits = ALPHABET[Number(number % 58n)] + digits;
    number /= 58n;
  }
  const first = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(first < 0 ? bytes.length : first) + digits;
}
