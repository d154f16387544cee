-- The key of the last of the next ?4 expired records after the key ?2. It only reads, so it keeps
-- no writer waiting.
SELECT count(*) AS found, max(event_id) AS last
FROM (
    SELECT event_id
    FROM dataflow_webhooks_dedup
    WHERE scope = ?1 AND event_id > ?2 AND expires_at <= ?3
    ORDER BY event_id
    LIMIT ?4
)
