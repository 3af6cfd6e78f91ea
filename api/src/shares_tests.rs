use std::pin::pin;

use futures_util::FutureExt;

use super::*;

const BOUNDS: Bounds = Bounds {
    what: "things",
    most: 2,
    of_a_person: 1,
    waiting: 4,
    waiting_of_a_person: 3,
    wait: Duration::from_secs(30),
};

fn one_at_a_time() -> Shares {
    Shares::new(Bounds { most: 1, ..BOUNDS })
}

#[tokio::test]
async fn a_persons_next_one_waits_behind_the_first_ones_of_others() {
    let shares = one_at_a_time();
    let running = shares.take("anna").await.unwrap();
    let mut queue: Vec<_> =
        ["anna", "anna", "bert", "carl"].map(|who| (who, Box::pin(shares.take(who)))).into();
    for (who, turn) in &mut queue {
        assert!(turn.now_or_never().is_none(), "{who}");
    }
    drop(running);
    let mut served = Vec::new();
    while !queue.is_empty() {
        let next = queue.iter_mut().position(|(_, turn)| match turn.now_or_never() {
            Some(taken) => {
                drop(taken.unwrap());
                true
            }
            None => false,
        });
        served.push(queue.remove(next.expect("nobody is served")).0);
    }
    assert_eq!(served, ["bert", "carl", "anna", "anna"]);
    assert!(shares.0.state.lock().rounds.is_empty());
}

#[tokio::test]
async fn what_one_person_may_not_have_is_left_for_others() {
    let shares = Shares::new(BOUNDS);
    let first = shares.take("anna").await.unwrap();
    let mut second = pin!(shares.take("anna"));
    assert!(second.as_mut().now_or_never().is_none());
    let other = shares.take("bert").now_or_never().expect("there is room for bert").unwrap();
    drop(other);
    assert!(second.as_mut().now_or_never().is_none(), "she still has her share");
    drop(first);
    assert!(second.now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_without_end_and_whoever_left_is_forgotten() {
    let shares = one_at_a_time();
    let running = shares.take("anna").await.unwrap();
    assert_eq!(shares.take("bert").await.unwrap_err(), NoShare::All("things"));
    assert!(shares.take("bert").now_or_never().is_none());
    assert!(shares.0.state.lock().waiting.is_empty());
    drop(running);
    let state = shares.0.state.lock();
    assert!(state.held.is_empty() && state.rounds.is_empty() && state.in_use == 0, "{state:?}");
}

#[tokio::test]
async fn a_full_queue_has_room_for_whoever_has_fewer_in_it() {
    let shares = one_at_a_time();
    let _running = shares.take("anna").await.unwrap();
    let enter = |who| shares.enter(who).map(|(share, ready)| (share, ready.unwrap()));
    let mut annas: Vec<_> = (0..3).map(|_| enter("anna").unwrap()).collect();
    assert_eq!(enter("anna").unwrap_err(), NoShare::Own { most: 4, what: "things" });
    let _bert = enter("bert").unwrap();
    let _carl = enter("carl").unwrap();
    let (_newest, refused) = annas.pop().unwrap();
    assert!(refused.await.is_err(), "the newest of whoever has the most is refused");
    assert_eq!(enter("bert").unwrap_err(), NoShare::All("things"));
}

#[tokio::test]
async fn what_is_taken_at_once_is_taken_from_whoever_has_the_most() {
    let shares = Shares::new(Bounds { most: 4, of_a_person: 4, ..BOUNDS });
    let annas: Vec<_> = (0..4).map(|_| shares.take_now("anna").unwrap()).collect();
    assert_eq!(shares.take_now("anna").unwrap_err(), NoShare::Own { most: 4, what: "things" });
    let _berts = [(); 2].map(|()| shares.take_now("bert").unwrap());
    let withdrawn: Vec<_> = annas.iter().map(|share| share.withdrawn().now_or_never().is_some()).collect();
    assert_eq!(withdrawn, [true, true, false, false]);
    assert_eq!(shares.take_now("bert").unwrap_err(), NoShare::All("things"));
    // A withdrawn share does not count twice when it ends.
    drop(annas);
    assert_eq!(shares.0.state.lock().in_use, 2);
}

#[tokio::test]
async fn any_order_of_coming_and_going_keeps_the_bounds() {
    for seed in 0..50 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let shares = Shares::new(BOUNDS);
        let mut turns: Vec<(&str, Option<oneshot::Receiver<()>>, Share)> = Vec::new();
        for _ in 0..200 {
            let who = ["anna", "bert", "carl", "dora"][chance.usize(..4)];
            match chance.usize(..3) {
                0 if !turns.is_empty() => drop(turns.swap_remove(chance.usize(..turns.len()))),
                _ => {
                    if let Ok((share, ready)) = shares.enter(who) {
                        turns.push((who, ready, share));
                    }
                }
            }
            let state = shares.0.state.lock();
            let held: usize = state.held.values().map(BTreeMap::len).sum();
            assert_eq!(held, state.in_use, "seed {seed}");
            assert!(held <= BOUNDS.most && state.waiting.len() <= BOUNDS.waiting, "seed {seed}");
            assert!(state.held.values().all(|own| own.len() <= BOUNDS.of_a_person), "seed {seed}");
            let could = state.waiting.values().any(|waiter| state.held(&waiter.person) == 0);
            assert!(!could || held == BOUNDS.most, "seed {seed}: somebody waits for nothing");
        }
        drop(turns);
        assert!(shares.0.state.lock().rounds.is_empty(), "seed {seed}");
    }
}
