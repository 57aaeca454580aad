"""Ed25519 with points that no honest signer has: those with a part of low order.

Some verifiers multiply it away, others do not, so that they differ about signatures
made with them. The arithmetic is that of RFC 8032 section 6, plain and slow.
"""

import hashlib

from receipts import ed25519

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]

NEUTRAL: Point = (0, 1)
BASE = "58" + "66" * 31
OF_ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"


def decode(text: str) -> Point:
    number = int.from_bytes(bytes.fromhex(text), "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = pow(u * pow(v, -1, P), (P + 3) // 8, P)
    if (x * x * v - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    return (x if x & 1 == sign else -x % P), y


def encode(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P)
    return x % P, y % P


def multiply(number: int, point: Point) -> Point:
    result = NEUTRAL
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


B, T = decode(BASE), decode(OF_ORDER_8)
SEED = bytes(range(32))


def _secret() -> int:
    number = int.from_bytes(hashlib.sha512(SEED).digest()[:32], "little")
    return number & (1 << 254) - 8 | 1 << 254


PUBLIC_KEY = ed25519.Signer(SEED).public_key
# The honest key with each of the seven parts of low order.
MIXED_ORDER = [
    encode(add(multiply(_secret(), B), multiply(part, T))).hex() for part in range(1, 8)
]


def twisted_signatures() -> list[tuple[str, str, str]]:
    """Public key, message and signature in hex: R with a part of low order, or of
    nothing else; and last an honest one.
    """
    message = b"message"
    honest = multiply(12345, B)
    points = [add(honest, multiply(part, T)) for part in range(1, 8)]
    points += [multiply(part, T) for part in range(8)]
    factors = [12345] * 7 + [0] * 8
    return [
        _sign(message, encode(R), factor)
        for R, factor in [*zip(points, factors, strict=True), (honest, 12345)]
    ]


def _sign(message: bytes, R: bytes, factor: int) -> tuple[str, str, str]:
    digest = hashlib.sha512(R + PUBLIC_KEY + message).digest()
    k = int.from_bytes(digest, "little") % ORDER
    S = (factor + k * _secret()) % ORDER
    signature = R + S.to_bytes(32, "little")
    return PUBLIC_KEY.hex(), message.hex(), signature.hex()
