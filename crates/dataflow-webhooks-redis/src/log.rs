//! What the operator is told; the only code that knows the `tracing` feature.

use crate::policy::RedisWarning;

/// The server works, but may forget.
pub(crate) fn warning(scope: &str, warning: &RedisWarning) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "dataflow_webhooks", scope, "{warning}");
    #[cfg(not(feature = "tracing"))]
    let _ = (scope, warning);
}
