//! Clocks that are set, on a clock that can be set.

use super::*;

const NOW_S: i64 = 1_795_219_200;

/// A history and the clocks around it.
struct World {
    clock: RetentionClock,
    folder: tempfile::TempDir,
    start: Instant,
    passed_s: i64,
    /// How far the server's clock is from the right time.
    server_s: i64,
    /// How far each host's clock is.
    hosts_s: Vec<i64>,
}

impl World {
    fn new(hosts_s: &[i64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = RetentionClock::open(folder.path(), Some(NOW_S), 0);
        let start = clock.state.lock().anchor.unwrap().1;
        Self { clock, folder, start, passed_s: 0, server_s: 0, hosts_s: hosts_s.to_vec() }
    }

    fn wall_s(&self) -> i64 {
        NOW_S + self.passed_s + self.server_s
    }

    /// All hosts send every ten seconds for this long.
    fn send_for(&mut self, seconds: i64) {
        for _ in 0..seconds / 10 {
            self.passed_s += 10;
            for (number, off_s) in self.hosts_s.iter().enumerate() {
                let host = format!("h{number}").parse().unwrap();
                let captured_s = NOW_S + self.passed_s + off_s;
                let heard = Heard { host: &host, stored_s: self.wall_s(), captured_s };
                let now = self.start + Duration::from_secs(self.passed_s.unsigned_abs());
                self.clock.hear(heard, self.wall_s(), now);
            }
        }
    }

    fn is_believed(&self) -> bool {
        let judged = self.clock.judge(self.wall_s());
        assert_eq!(judged.waits.is_none(), judged.now_s == self.wall_s());
        assert!(judged.now_s <= self.wall_s());
        judged.waits.is_none()
    }

    /// The same after a new start, `off_s` later.
    fn restarted(mut self, off_s: i64) -> Self {
        self.clock.save();
        self.passed_s += off_s;
        self.clock = RetentionClock::open(self.folder.path(), Some(self.wall_s()), 0);
        // The time before the start is not in the monotonic clock of this one.
        self.start = self.clock.state.lock().anchor.unwrap().1;
        self.start =
            self.start.checked_sub(Duration::from_secs(self.passed_s.unsigned_abs())).unwrap_or(self.start);
        self
    }
}

#[test]
fn a_clock_days_ahead_of_the_hosts_is_never_believed_and_is_again_once_it_is_right() {
    let mut world = World::new(&[0, 2, -3]);
    world.send_for(60);
    assert!(world.is_believed());
    for ahead_s in [DAY_S + 1000, 30 * DAY_S, 5000 * DAY_S] {
        world.server_s = ahead_s;
        world.send_for(1800);
        assert!(!world.is_believed(), "{ahead_s}");
        assert_eq!(world.clock.judge(world.wall_s()).now_s, world.clock.newest_s().unwrap());
    }
    world.server_s = 0;
    world.send_for(10);
    assert!(world.is_believed());
}

#[test]
fn a_clock_that_hosts_agree_with_is_believed_after_ten_minutes_and_no_sooner() {
    // Nothing ran for ten days.
    let days_s = 10 * DAY_S;
    let mut world = World::new(&[days_s, days_s + 2, 0]);
    world.server_s = days_s;
    assert!(!world.is_believed());
    world.send_for(590);
    assert!(!world.is_believed());
    world.send_for(30);
    assert!(world.is_believed());
    world.send_for(3 * DAY_S / 2);
    assert!(world.is_believed());
}

#[test]
fn steps_that_are_small_alone_do_not_add_up() {
    let mut world = World::new(&[0, 0]);
    for step in 1..200 {
        world.server_s = step * 20 * 3600;
        world.send_for(60);
    }
    assert!(!world.is_believed());
    let newest_s = world.clock.newest_s().unwrap();
    assert!(newest_s <= NOW_S + world.passed_s + SLACK_S, "{newest_s}");
}

#[test]
fn a_clock_that_is_set_again_meanwhile_has_to_be_confirmed_anew() {
    let mut world = World::new(&[5 * DAY_S, 5 * DAY_S]);
    for ahead_s in [5 * DAY_S, 6 * DAY_S, 5 * DAY_S] {
        world.server_s = ahead_s;
        world.send_for(400);
        assert!(!world.is_believed());
    }
    world.send_for(300);
    assert!(world.is_believed());
}

#[test]
fn a_clock_that_is_set_back_is_believed_and_what_it_says_then_makes_nothing_older() {
    let mut world = World::new(&[0]);
    world.send_for(100);
    let newest_s = world.clock.newest_s();
    world.server_s = -40 * DAY_S;
    world.send_for(100);
    assert!(world.is_believed());
    assert_eq!(world.clock.newest_s(), newest_s);
}

#[test]
fn a_start_does_not_forget_what_counts() {
    let mut world = World::new(&[0]);
    world.send_for(1200);
    world.server_s = 30 * DAY_S;
    world.send_for(60);
    // Its newest segment is from the wrong time by now.
    let mut world = world.restarted(5);
    assert!(!world.is_believed());
    world.send_for(900);
    assert!(!world.is_believed());
    let mut world = {
        world.server_s = 0;
        world.restarted(5)
    };
    world.send_for(10);
    assert!(world.is_believed());
}

#[test]
fn a_person_can_confirm_a_clock_up_to_a_day_of_their_choice() {
    let folder = tempfile::tempdir().unwrap();
    let clock = RetentionClock::open(folder.path(), Some(NOW_S), NOW_S + 10 * DAY_S);
    assert_eq!(clock.judge(NOW_S + 9 * DAY_S).waits, None);
    let waits = clock.judge(NOW_S + 11 * DAY_S).waits.unwrap();
    assert!(waits.contains("trust_clock_until"), "{waits}");
}

#[test]
fn a_file_that_says_no_time_is_left_aside() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), b"\xff\x00nonsense").unwrap();
    assert_eq!(RetentionClock::open(folder.path(), Some(7), 0).newest_s(), Some(7));
    let clock = RetentionClock::open(folder.path(), None, 0);
    assert_eq!((clock.newest_s(), clock.judge(NOW_S).waits), (None, None));
}
