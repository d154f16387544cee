//! All that a run has measured.

use std::time::Duration;

use crate::deliveries::Run;
use crate::figures::Figures;
use crate::operations::Times;
use crate::stores::Kind;
use crate::tools::Pairs;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    stores: Vec<(Kind, OfStore)>,
    /// The receivers, by their stores.
    receivers: Vec<(Kind, OfReceiver)>,
    /// Microseconds of a sync of the disk.
    pub(crate) sync: Figures,
    pub(crate) connections: usize,
    pub(crate) processors: usize,
}

/// Of one store.
#[derive(Debug, Default)]
pub(crate) struct OfStore {
    pub(crate) bytes: f64,
    pub(crate) times: Times,
}

/// Of one receiver, and of the tool that does the same work without it. All but the rates
/// and what is made of them are microseconds of processor time for each pair or delivery.
#[derive(Debug, Default)]
pub(crate) struct OfReceiver {
    pub(crate) per_second: Figures,
    pub(crate) server: Figures,
    pub(crate) receiver: Figures,
    pub(crate) sender: Figures,
    /// How many processors were busy with it.
    pub(crate) busy: Figures,
    /// How many processors were busy with other programs.
    pub(crate) others: Figures,
    pub(crate) tool_per_second: Figures,
    pub(crate) tool_server: Figures,
    pub(crate) tool: Figures,
    /// Deliveries for each pair of the tool's, round by round.
    pub(crate) ratio: Figures,
}

impl Results {
    pub(crate) fn new(connections: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let stores = Kind::ALL.map(|kind| (kind, OfStore::default())).into();
        let receivers = RECEIVERS.map(|kind| (kind, OfReceiver::default())).into();
        Self { stores, receivers, sync: Figures::default(), connections, processors }
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = (Kind, &OfStore)> {
        self.stores.iter().map(|(kind, of)| (*kind, of))
    }

    pub(crate) fn stores_mut(&mut self) -> impl DoubleEndedIterator<Item = (Kind, &mut OfStore)> {
        self.stores.iter_mut().map(|(kind, of)| (*kind, of))
    }

    pub(crate) fn receivers(&self) -> impl Iterator<Item = (Kind, &OfReceiver)> {
        self.receivers.iter().map(|(kind, of)| (*kind, of))
    }

    pub(crate) fn receivers_mut(&mut self) -> impl Iterator<Item = (Kind, &mut OfReceiver)> {
        self.receivers.iter_mut().map(|(kind, of)| (*kind, of))
    }
}

/// The stores that are also measured through a receiver.
const RECEIVERS: [Kind; 3] = [Kind::Memory, Kind::Redis, Kind::Postgres];

impl OfReceiver {
    /// One round. The server's processor time is that of the deliveries.
    pub(crate) fn add(&mut self, run: &Run, server: Duration, tool: Option<Pairs>) {
        let deliveries = run.answered as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / deliveries;
        let per_second = deliveries / run.took.as_secs_f64();
        self.per_second.add(per_second);
        self.server.add(each(server));
        self.receiver.add(each(run.receiver));
        self.sender.add(each(run.sender));
        let ours = server + run.receiver + run.sender;
        let processors = |time: Duration| time.as_secs_f64() / run.took.as_secs_f64();
        self.busy.add(processors(ours));
        self.others.add(processors(run.all.saturating_sub(ours)));
        if let Some(tool) = tool {
            self.tool_per_second.add(tool.per_second);
            self.tool_server.add(tool.server);
            self.tool.add(tool.tool);
            self.ratio.add(per_second / tool.per_second);
        }
    }

    /// The ratio if nothing but processor time bounded either.
    pub(crate) fn ratio_by_processor_time(&self) -> f64 {
        let tool = self.tool_server.median() + self.tool.median();
        tool / (self.server.median() + self.receiver.median() + self.sender.median())
    }
}
