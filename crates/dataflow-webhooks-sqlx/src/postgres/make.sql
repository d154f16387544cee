-- The claim of an event that has no record. Without the first condition it would wait for whoever
-- is changing the record that there is.
INSERT INTO dataflow_webhooks_dedup (scope, event_id, epoch, state, lease_until, expires_at)
SELECT $1, $2, 1, 1, clock.now + $3, clock.now + $4
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock
WHERE NOT EXISTS (
    SELECT FROM dataflow_webhooks_dedup AS d WHERE d.scope = $1 AND d.event_id = $2
)
ON CONFLICT (scope, event_id) DO NOTHING
RETURNING epoch
