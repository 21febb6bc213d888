use super::{
    super::doubles::{Double, address, pool},
    *,
};

fn leg(worker: u16) -> Preference {
    Preference { worker: WorkerId::of(&address(worker)), ticket: "a ticket".to_owned() }
}

/// The workers in the order in which they are asked for places.
fn order(pool: &WorkerPool) -> Vec<WorkerId> {
    pool.candidates().into_iter().map(|known| known.id).collect()
}

fn id(port: u16) -> WorkerId {
    WorkerId::of(&address(port))
}

#[tokio::test]
async fn places_are_asked_of_the_worker_with_the_fewest_legs() {
    let pool = pool(&[7, 8]);
    let leg = pool.lease(&[], &leg(7)).unwrap();
    for _ in 0..3 {
        assert_eq!(order(&pool), [id(8), id(7)]);
    }
    drop(leg);
    assert_ne!(order(&pool), order(&pool), "among equals the turn goes round");
}

#[tokio::test]
async fn a_leg_goes_to_the_worker_that_holds_its_place_and_no_worker_is_asked_twice() {
    let pool = pool(&[7, 8, 9]);
    for preferred in [7, 8, 9] {
        let mut asked = Vec::new();
        while let Some(lease) = pool.lease(&asked, &leg(preferred)) {
            asked.push(lease.address().clone());
        }
        assert_eq!((asked.len(), &asked[0]), (3, &address(preferred)));
    }
}

#[tokio::test]
async fn every_edge_asks_the_other_workers_about_a_ticket_in_the_same_order() {
    let second = |pool: &WorkerPool| pool.lease(&[address(7)], &leg(7)).unwrap().address().clone();
    let (one, other) = (pool(&[7, 8, 9, 5, 6]), pool(&[9, 5, 8, 6, 7]));
    let busy = one.lease(&[], &leg(8)).unwrap();
    one.avoid(&address(9));
    assert_eq!(second(&one), second(&other));
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_could_not_be_reached_is_asked_last_for_a_while() {
    let pool = pool(&[7, 8]);
    let busy = pool.lease(&[], &leg(8)).unwrap();
    pool.avoid(&address(7));
    assert_eq!(order(&pool), [id(8), id(7)]);
    tokio::time::advance(AVOID_FOR).await;
    assert_eq!(order(&pool), [id(7), id(8)]);
    drop(busy);
}

fn named() -> WorkerPool {
    let targets = vec![WorkerTarget::Name { name: "127.0.0.1".to_owned(), port: 9 }];
    WorkerPool::new(targets, Double::connect(), Clock)
}

#[tokio::test]
async fn a_name_resolves_and_keeps_live_legs_when_it_resolves_again() {
    let pool = named();
    assert!(!pool.is_resolved() && !pool.was_populated());
    assert!(order(&pool).is_empty());
    tokio::select! {
        never = pool.keep_resolving() => match never {},
        () = pool.resolved() => {}
    }
    assert!(pool.was_populated());
    let lease = pool.lease(&[], &leg(9)).unwrap();
    pool.adopt(vec![(0, vec![address(8), address(9)])]);
    assert_eq!(order(&pool), [id(8), id(9)], "the other one serves a leg");
    drop(lease);
}

#[tokio::test]
async fn a_name_that_resolves_to_nothing_was_tried_but_gives_no_worker() {
    let pool = named();
    pool.adopt(vec![(0, Vec::new())]);
    assert!(!pool.was_populated());
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_address_has_left_its_name_is_asked_but_gets_no_new_call() {
    let pool = named();
    pool.resolved.cancel();
    pool.adopt(vec![(0, vec![address(7)])]);
    let first = pool.lease(&[], &leg(7)).unwrap();
    let leaves = || pool.adopt(vec![(0, vec![address(8)])]);
    let knows = |port| pool.members().iter().any(|known| known.id == id(port));
    for _ in 0..3 {
        leaves();
        tokio::time::advance(REMEMBER_FOR - Duration::from_secs(1)).await;
    }
    assert_eq!(order(&pool), [id(8)]);
    assert!(pool.lease(&[], &leg(7)).is_some_and(|lease| *lease.address() == address(7)), "it holds the call");
    assert!(pool.lease(&[address(8)], &leg(8)).is_none());
    assert!(knows(7), "it still serves a leg");
    leaves();
    drop(first);
    tokio::time::advance(REMEMBER_FOR - Duration::from_secs(1)).await;
    leaves();
    assert!(knows(7), "its last leg has just ended");
    tokio::time::advance(Duration::from_secs(1)).await;
    leaves();
    assert!(!knows(7));
    pool.adopt(vec![(0, vec![address(7)])]);
    assert_eq!(order(&pool), [id(7)], "it is back");
}
