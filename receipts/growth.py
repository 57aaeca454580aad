"""How many receipts a log had at a time, without counting them.

Leaf indexes are dense, and grow with the time of issue but for a little disorder: an
entry is signed before it waits for its place. So two binary searches bound the entries
that may stand on either side of a moment, and those alone are counted.
"""

from collections.abc import Sequence

from django.conf import settings
from django.db import connection

from receipts.models import Log

CLOCKS = 20  # seconds that the clocks of servers may be apart

# `middle` is a column, not worked out where it is looked up: a division may fail, which
# could tell of rows, so row-level security would keep it away from the index.
SEARCH = """
    WITH RECURSIVE bound(moment) AS (
        VALUES {moments}
    ), edge(moment) AS (
        SELECT moment - %s FROM bound UNION ALL SELECT moment + %s FROM bound
    ), search(moment, low, high, middle) AS (
        SELECT moment, CAST(0 AS BIGINT), CAST(%s AS BIGINT), CAST(%s AS BIGINT)
        FROM edge
        UNION ALL
        SELECT search.moment,
            CASE WHEN receipt.issued_at < search.moment
                THEN receipt.leaf_index + 1 ELSE search.low END,
            CASE WHEN receipt.issued_at < search.moment
                THEN search.high ELSE receipt.leaf_index END,
            CASE WHEN receipt.issued_at < search.moment
                THEN (receipt.leaf_index + 1 + search.high) / 2
                ELSE (search.low + receipt.leaf_index) / 2 END
        FROM search JOIN receipts_receipt AS receipt
            ON receipt.tenant_id = %s AND receipt.log_id = %s
            AND receipt.leaf_index = search.middle
        WHERE search.low < search.high
    )
    SELECT bound.moment, low.low + (
        SELECT COUNT(*) FROM receipts_receipt AS receipt
        WHERE receipt.tenant_id = %s AND receipt.log_id = %s
            AND receipt.leaf_index >= low.low AND receipt.leaf_index < high.low
            AND receipt.issued_at < bound.moment
    )
    FROM bound
    JOIN search AS low ON low.moment = bound.moment - %s AND low.low = low.high
    JOIN search AS high ON high.moment = bound.moment + %s AND high.low = high.high
"""


def sizes_at(log: Log, moments: Sequence[int]) -> list[int]:
    """Return how many receipts were issued before each of some Unix times.

    Exact for as long as no entry waited longer for its place than an append may take.
    """
    slack = settings.LUCID_APPEND_TIMEOUT + CLOCKS
    is_postgresql = connection.vendor == "postgresql"
    whose = [log.tenant_id if is_postgresql else log.tenant_id.hex, log.pk]
    values = ", ".join(["(CAST(%s AS BIGINT))"] * len(moments))
    begin = [slack, slack, log.size, log.size // 2]
    given = [*moments, *begin, *whose, *whose, slack, slack]
    with connection.cursor() as cursor:
        cursor.execute(SEARCH.format(moments=values), given)
        sizes = dict(cursor.fetchall())
    return [sizes[moment] for moment in moments]
