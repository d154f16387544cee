-- The claim of an event that has a record: takes it if it may and nobody has locked it, and says
-- how it was found.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
), free AS (
    SELECT d.scope, d.event_id
    FROM dataflow_webhooks_dedup AS d, clock
    WHERE d.scope = $1 AND d.event_id = $2
        AND (d.state = 0 OR (d.state = 1 AND d.lease_until <= clock.now) OR d.expires_at <= clock.now)
    FOR UPDATE OF d SKIP LOCKED
), taken AS (
    UPDATE dataflow_webhooks_dedup AS d
    SET epoch = d.epoch + 1, state = 1,
        lease_until = clock.now + $3, expires_at = clock.now + $4
    FROM free, clock
    WHERE d.scope = free.scope AND d.event_id = free.event_id
    RETURNING d.epoch
)
SELECT (SELECT taken.epoch FROM taken) AS changed,
    d.state::bigint AS state, d.lease_until > clock.now AS leased, d.expires_at > clock.now AS live
FROM clock
LEFT JOIN dataflow_webhooks_dedup AS d ON d.scope = $1 AND d.event_id = $2
