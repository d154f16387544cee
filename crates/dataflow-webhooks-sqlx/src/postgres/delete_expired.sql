-- The next expired records after the key $2, at most $3 of them; those that somebody has locked are
-- left for another time.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
), old AS (
    SELECT d.scope, d.event_id
    FROM dataflow_webhooks_dedup AS d, clock
    WHERE d.scope = $1 AND d.event_id > $2 AND d.expires_at <= clock.now
    ORDER BY d.event_id
    LIMIT $3
    FOR UPDATE OF d SKIP LOCKED
), gone AS (
    DELETE FROM dataflow_webhooks_dedup AS d
    USING old
    WHERE d.scope = old.scope AND d.event_id = old.event_id
    RETURNING d.event_id
)
SELECT count(*) AS gone, max(event_id) AS last FROM gone
