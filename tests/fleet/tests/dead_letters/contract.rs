//! Both sinks hold the contract of all sinks. Opened again, a sink has a pool of its own, as
//! another process would.

use std::cell::RefCell;
use std::rc::Rc;

use dataflow_webhooks::sink_contract_tests;
use dataflow_webhooks::testing::SinkContract;

use crate::place::Place;

/// The place of a sink is kept as long as the contract.
fn contract<P: Place>() -> SinkContract<impl AsyncFn() -> P::Sink, impl AsyncFn(P::Sink) -> P::Sink>
{
    let made = Rc::new(RefCell::new(None));
    let kept = made.clone();
    let make = async move || {
        let place = P::new().await;
        let sink = place.sink();
        made.replace(Some(place));
        sink
    };
    let reopen = async move |sink| {
        drop(sink);
        let place = kept.take().expect("a sink was made");
        let sink = place.other_sink(place.scope()).await.unwrap();
        kept.replace(Some(place));
        sink
    };
    SinkContract::new(make, reopen)
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

mod on_postgresql {
    use super::{block_on, contract, sink_contract_tests};
    use crate::place::OnPostgres;

    sink_contract_tests!(block_on, contract::<OnPostgres>());
}

mod on_sqlite {
    use super::{block_on, contract, sink_contract_tests};
    use crate::place::OnSqlite;

    sink_contract_tests!(block_on, contract::<OnSqlite>());
}
