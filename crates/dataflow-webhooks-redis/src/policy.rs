//! Whether the server may throw records away.

use std::collections::BTreeSet;
use std::fmt;

use redis::Value;

/// What is worth a look about the server. It works, but may forget.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisWarning {
    /// The server's `maxmemory-policy` is not `noeviction`: when its memory is full it throws
    /// records away, and the events they stood for run again.
    #[non_exhaustive]
    MayEvict {
        /// The policy that was found.
        policy: String,
    },
    /// The server does not let us read its `maxmemory-policy`. It should be `noeviction`.
    PolicyUnknown,
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayEvict { policy } => write!(
                f,
                "the maxmemory-policy of Redis is {policy}: when its memory is full it evicts \
                 records, and their events run again; set it to noeviction"
            ),
            Self::PolicyUnknown => f.write_str(
                "the maxmemory-policy of Redis cannot be read (neither INFO memory nor CONFIG GET \
                 is allowed); see to it that it is noeviction",
            ),
        }
    }
}

/// The warnings that follow from what `INFO memory` or `CONFIG GET maxmemory-policy` answered,
/// of one server or of several. `None` when neither says anything about the policy.
pub(crate) fn judge(answer: &Value) -> Option<Vec<RedisWarning>> {
    let mut policies = BTreeSet::new();
    let mut name_seen = false;
    each_text(answer, &mut |text| {
        if name_seen {
            policies.insert(text.trim().to_owned());
        }
        name_seen = text == "maxmemory-policy";
        let lines = text.lines().filter_map(|line| line.strip_prefix("maxmemory_policy:"));
        policies.extend(lines.map(|policy| policy.trim().to_owned()));
    });
    if policies.is_empty() {
        return None;
    }
    policies.remove("noeviction");
    Some(policies.into_iter().map(|policy| RedisWarning::MayEvict { policy }).collect())
}

/// All texts of an answer, in order: a Cluster answers with those of all its nodes.
fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::BulkString(bytes) => see(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => see(text),
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| each_text(value, see));
        }
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            each_text(key, see);
            each_text(value, see);
        }),
        _ => {}
    }
}
