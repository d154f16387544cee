//! The receiver of a row: its endpoint, its store, where the layer is, and what
//! the handler does, in words that every stack carries out the same way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{Delivery, Endpoint, EndpointBuilder, KeyRing};
use tokio::sync::Semaphore;
use webhook_tests::{Runs, WatchedStore, endpoint};

/// A deadline that a row can wait for, and that a loaded machine keeps.
pub(crate) const SOON: Duration = Duration::from_millis(600);

/// What a handler answers.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Bytes,
}

/// How a handler ends.
#[derive(Debug, Clone)]
enum End {
    Says(Says),
    /// Answers 200 with what this makes of the delivery.
    Tells(fn(&Delivery) -> String),
    Fails,
    Panics,
}

/// What a handler waits for before its end.
#[derive(Debug, Clone, Copy)]
enum Pause {
    None,
    For(Duration),
    /// Until the row lets it go.
    Gate,
}

/// One run of the handler.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pause: Pause,
    end: End,
}

impl Run {
    fn ending(end: End) -> Self {
        Self { pause: Pause::None, end }
    }

    /// Waits so long before it ends.
    pub(crate) fn after(mut self, time: Duration) -> Self {
        self.pause = Pause::For(time);
        self
    }

    /// Waits until the row lets it go.
    pub(crate) fn gated(mut self) -> Self {
        self.pause = Pause::Gate;
        self
    }

    /// Answers with this header as well.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        if let End::Says(says) = &mut self.end {
            says.headers.push((name, value));
        }
        self
    }

    /// Answers with this body.
    pub(crate) fn body(mut self, text: &'static str) -> Self {
        if let End::Says(says) = &mut self.end {
            says.body = text.into();
        }
        self
    }
}

/// A handler that answers with this status.
pub(crate) fn says(status: u16) -> Run {
    Run::ending(End::Says(Says { status, headers: Vec::new(), body: Bytes::new() }))
}

/// A handler that answers 200 with what this makes of the delivery.
pub(crate) fn tells(what: fn(&Delivery) -> String) -> Run {
    Run::ending(End::Tells(what))
}

/// A handler that fails, in its stack's own way.
pub(crate) fn fails() -> Run {
    Run::ending(End::Fails)
}

/// A handler that panics.
pub(crate) fn panics() -> Run {
    Run::ending(End::Panics)
}

/// Where the layer, or the middleware, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapped {
    /// Around the route.
    Route,
    /// Around the application.
    App,
    /// Around both.
    Twice,
    /// Around both, the inner one with another endpoint.
    ByAnother,
}

/// A receiver that is to be.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) builder: EndpointBuilder,
    pub(crate) store: WatchedStore,
    pub(crate) wrapped: Wrapped,
    dedup: bool,
    peer_known: bool,
    never_ready: bool,
    time_out: Option<Duration>,
    runs: Vec<Run>,
}

/// A receiver with every default and this handler.
pub(crate) fn receiver(run: Run) -> Scene {
    Scene {
        builder: endpoint(),
        store: WatchedStore::default(),
        wrapped: Wrapped::Route,
        dedup: true,
        peer_known: true,
        never_ready: false,
        time_out: None,
        runs: vec![run],
    }
}

/// A receiver whose handler does nothing, and answers 200.
pub(crate) fn plain() -> Scene {
    receiver(says(200))
}

impl Scene {
    /// The handler's next run does this. The last one stands for all that follow.
    pub(crate) fn then(mut self, run: Run) -> Self {
        self.runs.push(run);
        self
    }

    /// With these settings.
    pub(crate) fn with(mut self, set: impl FnOnce(EndpointBuilder) -> EndpointBuilder) -> Self {
        self.builder = set(self.builder);
        self
    }

    /// With these keys, and every other setting its default.
    pub(crate) fn keys(self, keys: KeyRing) -> Self {
        self.with(|_| Endpoint::builder(keys))
    }

    /// Body and answer are due soon.
    pub(crate) fn quick(self) -> Self {
        self.with(|builder| builder.body_within(SOON).answer_within(SOON))
    }

    /// With this store.
    pub(crate) fn store(mut self, store: WatchedStore) -> Self {
        self.store = store;
        self
    }

    /// Without deduplication.
    pub(crate) fn without_dedup(mut self) -> Self {
        self.dedup = false;
        self.with(EndpointBuilder::without_dedup)
    }

    /// Nobody tells the layer who the peer is.
    pub(crate) fn peer_unknown(mut self) -> Self {
        self.peer_known = false;
        self
    }

    /// What is inside the layer is never ready to be called.
    pub(crate) fn never_ready(mut self) -> Self {
        self.never_ready = true;
        self
    }

    /// With a time-out around the application, which answers 504.
    pub(crate) fn time_out(mut self, time: Duration) -> Self {
        self.time_out = Some(time);
        self
    }

    /// With the layer there.
    pub(crate) fn wrapped(mut self, wrapped: Wrapped) -> Self {
        self.wrapped = wrapped;
        self
    }

    /// What a stack is to serve.
    pub(crate) fn build(self) -> Served {
        let builder =
            if self.dedup { self.builder.dedup(self.store.clone()) } else { self.builder };
        let endpoint = builder.build().expect("an endpoint");
        let another = || webhook_tests::endpoint().build().expect("an endpoint");
        let (outer, inner) = match self.wrapped {
            Wrapped::Route => (None, Some(endpoint.clone())),
            Wrapped::App => (Some(endpoint.clone()), None),
            Wrapped::Twice => (Some(endpoint.clone()), Some(endpoint.clone())),
            Wrapped::ByAnother => (Some(endpoint.clone()), Some(another())),
        };
        let handler = Handler {
            runs: Runs::default(),
            plan: self.runs.into(),
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        Served {
            endpoint,
            store: self.store,
            peer_known: self.peer_known,
            never_ready: self.never_ready,
            time_out: self.time_out.unwrap_or(Duration::from_secs(3600)),
            outer,
            inner,
            handler,
        }
    }
}

/// What a stack serves: the handler on `/webhooks/dataflow`, all methods.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// The endpoint that the row is about.
    pub(crate) endpoint: Endpoint,
    pub(crate) store: WatchedStore,
    /// Is the layer told who the peer is?
    pub(crate) peer_known: bool,
    /// Is what is inside the layer, around the route, never ready?
    pub(crate) never_ready: bool,
    /// The time-out around it all; an hour, where there is none.
    pub(crate) time_out: Duration,
    /// The endpoint of the layer around the application.
    pub(crate) outer: Option<Endpoint>,
    /// The endpoint of the layer around the route.
    pub(crate) inner: Option<Endpoint>,
    pub(crate) handler: Handler,
}

/// The handler of every stack.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    pub(crate) runs: Runs,
    plan: Arc<[Run]>,
    begun: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Semaphore>,
}

/// A handler's failure, to be turned into an error of the stack's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

impl Failed {
    /// What the stack answers to it.
    pub(crate) const STATUS: u16 = 502;
    pub(crate) const TEXT: &'static str = "the queue is down";
}

impl Handler {
    /// Runs once, with the delivery and the body that the stack's own extractor
    /// gave.
    ///
    /// # Errors
    ///
    /// When the plan says so.
    pub(crate) async fn run(self, delivery: Delivery, body: Bytes) -> Result<Says, Failed> {
        let number = self.begun.fetch_add(1, SeqCst);
        let run = self.plan[number.min(self.plan.len() - 1)].clone();
        self.runs.begin(delivery.id());
        let event = delivery.event();
        // Not its payload: the fields of a documented type are data, and `Debug`
        // shows them to whoever asks for it.
        tracing::trace!("handling {delivery:?} {:?} {:?}", event.event_type, event.metadata);
        if let Err(error) = delivery.data::<Vec<u8>>() {
            tracing::trace!("the data is no list of bytes: {error} {error:?}");
        }
        match run.pause {
            Pause::None => {}
            Pause::For(time) => tokio::time::sleep(time).await,
            Pause::Gate => self.gate.acquire().await.expect("an open gate").forget(),
        }
        let said = match run.end {
            _ if body != delivery.body() => {
                Ok(Says { status: 599, headers: Vec::new(), body: "another body".into() })
            }
            End::Says(says) => Ok(says),
            End::Tells(what) => {
                Ok(Says { status: 200, headers: Vec::new(), body: what(&delivery).into() })
            }
            End::Fails => Err(Failed),
            // Past the hook, which would print it.
            End::Panics => std::panic::resume_unwind(Box::new("as the row wants it")),
        };
        self.runs.end(delivery.id());
        said
    }
}
