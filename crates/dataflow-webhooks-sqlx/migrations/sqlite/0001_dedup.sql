-- One record per event and scope. All times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS dataflow_webhooks_dedup (
    scope       TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    -- The number of the run: it rises with each claim.
    epoch       INTEGER NOT NULL,
    -- 0 released, 1 claimed, 2 done.
    state       INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    -- The end of the retention: from then on the record counts as absent.
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (scope, event_id)
) WITHOUT ROWID, STRICT;
