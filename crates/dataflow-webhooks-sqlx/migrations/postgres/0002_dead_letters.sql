-- The deliveries that no run got through: one letter per event and scope.
CREATE TABLE IF NOT EXISTS dataflow_webhooks_dead_letters (
    -- Milliseconds since 1970.
    failed_at  bigint NOT NULL,
    runs       bigint NOT NULL,
    scope      text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    event_type text   NOT NULL,
    -- How the last run ended.
    reason     text   NOT NULL,
    -- All of it as JSON, the body too: the other columns are for finding it.
    letter     text   NOT NULL,
    PRIMARY KEY (scope, event_id)
);
CREATE INDEX IF NOT EXISTS dataflow_webhooks_dead_letters_oldest
    ON dataflow_webhooks_dead_letters (scope, failed_at, event_id);
