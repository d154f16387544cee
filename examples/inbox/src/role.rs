//! What the program is to do, as its arguments say.

use receiver::Failure;

const USAGE: &str = "usage: inbox [receiver | worker | dead | retry EVENT_ID]";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives and works, in one process.
    Both,
    Receiver,
    Worker,
    /// Lists the events that were given up on.
    Dead,
    /// Has one of them run again.
    Retry(String),
}

impl Role {
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let arguments: Vec<_> = arguments.collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        match arguments.as_slice() {
            [] => Ok(Self::Both),
            ["receiver"] => Ok(Self::Receiver),
            ["worker"] => Ok(Self::Worker),
            ["dead"] => Ok(Self::Dead),
            ["retry", id] => Ok(Self::Retry((*id).to_owned())),
            _ => Err(Failure::in_configuration(USAGE)),
        }
    }
}
