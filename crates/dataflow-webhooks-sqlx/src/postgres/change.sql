-- A step of the holder of epoch $3: brings its claim into state $4 if nobody has locked the record,
-- and says how it was found.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
), free AS (
    SELECT d.scope, d.event_id
    FROM dataflow_webhooks_dedup AS d, clock
    WHERE d.scope = $1 AND d.event_id = $2 AND d.epoch = $3
        AND d.state = 1 AND d.expires_at > clock.now
    FOR UPDATE OF d SKIP LOCKED
), changed AS (
    UPDATE dataflow_webhooks_dedup AS d
    SET state = $4, lease_until = clock.now + $5, expires_at = clock.now + $6
    FROM free, clock
    WHERE d.scope = free.scope AND d.event_id = free.event_id
    RETURNING d.epoch
)
SELECT (SELECT changed.epoch FROM changed) AS changed,
    d.state::bigint AS state, d.lease_until > clock.now AS leased, d.expires_at > clock.now AS live
FROM clock
LEFT JOIN dataflow_webhooks_dedup AS d ON d.scope = $1 AND d.event_id = $2 AND d.epoch = $3
