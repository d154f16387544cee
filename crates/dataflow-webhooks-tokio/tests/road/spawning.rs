//! The road's futures name no `Send`: they have it when what is inside has it.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;

use dataflow_webhooks::Delivery;
use dataflow_webhooks_tokio::{Detach, Spanned, Whole, handle, on_runtime, receive};
use tokio::runtime::Handle;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::support::scene::{Said, Scene, State, body_of, head, seconds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_road_of_a_send_handler_is_spawned_on_the_runtime() {
    let scene = Scene::new();
    let (endpoint, says) = (scene.endpoint.clone(), scene.says(204));
    let road = async move {
        let body = body_of("evt_1");
        let arrived = Instant::now();
        let deadline = arrived + endpoint.limits().answer_within();
        let delivery = receive(&endpoint, head(&body), arrived, Whole::new(body)).await.unwrap();
        let ready = |()| async { Ok(()) };
        let call = move |(), delivery| says(delivery);
        let work = handle(&endpoint, &delivery, deadline, (), ready, call);
        Detach::new(&endpoint, &delivery, deadline, work, on_runtime).await.unwrap()
    };
    assert_eq!(tokio::spawn(road).await.unwrap(), Said::by_handler(200));
    assert_eq!(scene.state("evt_1").await, State::Done);
}

/// What an adapter gives to `Detach::new` whose handlers stay on one thread.
fn on_this_thread<F: Future + 'static>(_runtime: &Handle, work: Spanned<F>) {
    spawn_local(work);
}

#[tokio::test(start_paused = true)]
async fn the_road_of_a_handler_with_an_rc_is_spawned_on_its_thread_and_runs_on_there() {
    let scene = Scene::new();
    let ended = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let road = {
        let (endpoint, delivery, ended) =
            (scene.endpoint.clone(), scene.delivery("evt_1"), ended.clone());
        async move {
            let deadline = Instant::now() + endpoint.limits().answer_within();
            let call = move |(), _: Delivery| async move {
                sleep(seconds(8)).await;
                ended.set(true);
                Ok::<_, Infallible>(Said::by_handler(200))
            };
            let ready = |()| async { Ok(()) };
            let work = handle(&endpoint, &delivery, deadline, (), ready, call);
            Detach::new(&endpoint, &delivery, deadline, work, on_this_thread).await.unwrap()
        }
    };
    local
        .run_until(async {
            let answer = spawn_local(road).await.unwrap();
            assert_eq!(answer.status, 503);
            assert!(!ended.get());
            sleep(seconds(4)).await;
            assert!(ended.get());
        })
        .await;
    assert_eq!(scene.state("evt_1").await, State::Done);
}
