"""What an installation without configuration needs before its first start.

No Django here: the settings refuse to load until the secrets exist.
"""

import base64
import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Return the folder of the embedded installation's database and secrets."""
    return Path(os.environ.get("LUCID_DATA_DIR", BASE_DIR / "var"))


def environment_file() -> Path:
    """Return the file of `NAME=value` lines that the settings read at start."""
    return data_dir() / "lucid.env"


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def prepare() -> None:
    """Make the data folder and fresh secrets, unless they are there already.

    The file is created readable by its owner only, and complete: it is written
    under another name and then linked, so that two first starts agree on one.
    """
    target = environment_file()
    if target.exists():
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target.with_suffix(f".{os.getpid()}")
    lines = [
        "# Made on first use. Who holds these can sign in this installation's name.",
        f"LUCID_SECRET_KEY={secrets.token_urlsafe(48)}",
        f"LUCID_MASTER_KEYS=m1:{_random_key()}",
        f"LUCID_API_KEY_PEPPERS=p1:{_random_key()}",
    ]
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, target)
    except FileExistsError:
        pass  # another first start was quicker; its secrets are the ones in use
    finally:
        draft.unlink()
