-- One record per event and scope. All times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS dataflow_webhooks_dedup (
    -- The number of the run: it rises with each claim.
    epoch       bigint   NOT NULL,
    lease_until bigint   NOT NULL,
    -- The end of the retention: from then on the record counts as absent.
    expires_at  bigint   NOT NULL,
    -- 0 released, 1 claimed, 2 done.
    state       smallint NOT NULL,
    scope       text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, event_id)
);
