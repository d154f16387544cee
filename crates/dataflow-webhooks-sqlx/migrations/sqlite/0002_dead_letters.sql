-- The deliveries that no run got through: one letter per event and scope.
CREATE TABLE IF NOT EXISTS dataflow_webhooks_dead_letters (
    scope      TEXT    NOT NULL,
    event_id   TEXT    NOT NULL,
    -- Milliseconds since 1970.
    failed_at  INTEGER NOT NULL,
    runs       INTEGER NOT NULL,
    event_type TEXT    NOT NULL,
    -- How the last run ended.
    reason     TEXT    NOT NULL,
    -- All of it as JSON, the body too: the other columns are for finding it.
    letter     TEXT    NOT NULL,
    PRIMARY KEY (scope, event_id)
) STRICT;
CREATE INDEX IF NOT EXISTS dataflow_webhooks_dead_letters_oldest
    ON dataflow_webhooks_dead_letters (scope, failed_at, event_id);
