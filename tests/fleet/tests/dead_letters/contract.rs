//! Both sinks hold the contract of all sinks. Opened again, a sink has a pool of its own, as
//! another process would.

use std::cell::RefCell;
use std::rc::Rc;

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

mod on_postgresql {
    use super::contract;
    use crate::place::OnPostgres;
    use webhook_fleet_tests::sink_contract_tests_unless_stalled;

    sink_contract_tests_unless_stalled!(contract::<OnPostgres>());
}

mod on_sqlite {
    use super::contract;
    use crate::place::OnSqlite;
    use webhook_fleet_tests::sink_contract_tests_unless_stalled;

    sink_contract_tests_unless_stalled!(contract::<OnSqlite>());
}
