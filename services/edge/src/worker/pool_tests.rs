use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use offhook_proto::voice::v1::{FromEdge, HangUp, next_step::Step};
use tokio::sync::mpsc;
use tonic::Status;

use super::{super::FromWorker, *};

/// Answers for calls by its own address: the port's last digit says how.
struct Double(u16);

impl Worker for Double {
    fn attach(&self, _: &Span, _: mpsc::Receiver<FromEdge>) -> FromWorker {
        stream::empty().boxed()
    }

    fn next_step(&self, _: &Span, _: &CallSid) -> BoxFuture<'static, Result<NextStep, Status>> {
        match self.0 {
            1 => async { Err(Status::not_found("no such call")) }.boxed(),
            2 => async { Err(Status::internal("broken")) }.boxed(),
            3 => std::future::pending().boxed(),
            port => async move { Ok(said(port)) }.boxed(),
        }
    }
}

fn said(port: u16) -> NextStep {
    NextStep { step: Some(Step::HangUp(HangUp { say: port.to_string() })) }
}

fn pool(ports: &[u16]) -> WorkerPool {
    let targets = ports.iter().map(|port| WorkerTarget::Fixed(address(*port))).collect();
    let connect: Connect = Arc::new(|address| Arc::new(Double(address.port_u16().unwrap())));
    WorkerPool::new(targets, connect, Clock)
}

fn address(port: u16) -> Uri {
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

fn call() -> CallSid {
    "CA00000000000000000000000000000002".parse().unwrap()
}

#[tokio::test]
async fn legs_spread_over_workers_and_leave_room_when_they_end() {
    let pool = pool(&[7, 8]);
    let (first, second) = (pool.lease(&[]).unwrap(), pool.lease(&[]).unwrap());
    assert_ne!(first.address(), second.address());
    let freed = first.address().clone();
    drop(first);
    let third = pool.lease(&[]).unwrap();
    assert_eq!(*third.address(), freed);
}

#[tokio::test]
async fn no_worker_is_asked_twice() {
    let pool = pool(&[7, 8]);
    let first = pool.lease(&[]).unwrap().address().clone();
    let second = pool.lease(std::slice::from_ref(&first)).unwrap().address().clone();
    assert_ne!(first, second);
    assert!(pool.lease(&[first, second]).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_could_not_be_reached_is_asked_last_for_a_while() {
    let pool = pool(&[7, 8]);
    let busy = pool.lease(&[address(7)]).unwrap();
    pool.avoid(&address(7));
    assert_eq!(*pool.lease(&[]).unwrap().address(), address(8));
    assert_eq!(*pool.lease(&[address(8)]).unwrap().address(), address(7));
    tokio::time::advance(AVOID_FOR).await;
    assert_eq!(*pool.lease(&[]).unwrap().address(), address(7));
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn the_first_worker_that_knows_the_call_says_what_comes_next() {
    assert_eq!(pool(&[1, 2, 3, 9, 8]).next_step(&Span::none(), &call(), None).await, Some(said(9)));
}

#[tokio::test(start_paused = true)]
async fn workers_that_do_not_answer_cannot_outlast_twilios_patience() {
    let (pool, before) = (pool(&[3, 3, 3, 3, 3, 9]), Clock.now());
    assert_eq!(pool.next_step(&Span::none(), &call(), None).await, None);
    assert_eq!(Clock.now() - before, STEPS_TIMEOUT);
}

#[tokio::test]
async fn the_worker_that_served_the_call_is_asked_first() {
    let pool = pool(&[7, 8, 9]);
    for port in [9, 8] {
        let step = pool.next_step(&Span::none(), &call(), Some(&address(port))).await;
        assert_eq!(step, Some(said(port)));
    }
}

fn named() -> WorkerPool {
    let targets = vec![WorkerTarget::Name { name: "127.0.0.1".to_owned(), port: 9 }];
    WorkerPool::new(targets, Arc::new(|address| Arc::new(Double(address.port_u16().unwrap()))), Clock)
}

#[tokio::test]
async fn a_name_resolves_and_keeps_live_legs_when_it_resolves_again() {
    let pool = named();
    assert!(!pool.is_resolved() && !pool.was_populated());
    assert!(pool.lease(&[]).is_none());
    tokio::select! {
        never = pool.keep_resolving() => match never {},
        () = pool.resolved() => {}
    }
    assert!(pool.was_populated());
    let lease = pool.lease(&[]).unwrap();
    pool.adopt(vec![(0, vec![address(8), address(9)])]);
    assert_eq!(*pool.lease(&[]).unwrap().address(), address(8), "the other one serves a leg");
    drop(lease);
}

#[tokio::test]
async fn a_name_that_resolves_to_nothing_was_tried_but_gives_no_worker() {
    let pool = named();
    pool.adopt(vec![(0, Vec::new())]);
    assert!(!pool.was_populated());
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_the_first_resolution() {
    let (pool, span, call) = (named(), Span::none(), call());
    let step = tokio::select! {
        biased;
        step = pool.next_step(&span, &call, None) => step,
        never = pool.keep_resolving() => match never {},
    };
    assert_eq!(step, Some(said(9)));
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_address_has_left_its_name_is_asked_but_gets_no_leg() {
    let pool = named();
    pool.resolved.cancel();
    pool.adopt(vec![(0, vec![address(7)])]);
    let leg = pool.lease(&[]).unwrap();
    let leaves = || pool.adopt(vec![(0, vec![address(8)])]);
    let asks = async || pool.next_step(&Span::none(), &call(), Some(&address(7))).await;
    for _ in 0..3 {
        leaves();
        tokio::time::advance(REMEMBER_FOR - Duration::from_secs(1)).await;
    }
    assert!(pool.lease(&[address(8)]).is_none());
    assert_eq!(asks().await, Some(said(7)), "it still serves a leg");
    leaves();
    drop(leg);
    tokio::time::advance(REMEMBER_FOR - Duration::from_secs(1)).await;
    leaves();
    assert_eq!(asks().await, Some(said(7)), "its last leg has just ended");
    tokio::time::advance(Duration::from_secs(1)).await;
    leaves();
    assert_eq!(asks().await, Some(said(8)));
    pool.adopt(vec![(0, vec![address(7)])]);
    assert_eq!(*pool.lease(&[]).unwrap().address(), address(7), "it is back");
}
