//! What a host believes, keeps and refuses.

use std::time::Duration;

use fleetps_nats::agent_settings::{ControlKey, Setting};
use nkeys::KeyPair;

use super::*;

fn host() -> HostName {
    "web-01".parse().unwrap()
}

struct Scene {
    folder: tempfile::TempDir,
    key: KeyPair,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: KeyPair::new_operator() }
    }

    fn remote(&self, pinned: &[Setting]) -> (Remote, mpsc::Receiver<Order>, Sampling) {
        let own = AgentSettings { state: self.folder.path().to_owned(), ..AgentSettings::default() };
        let control_key = Some(self.key.public_key());
        let remote = Remote::new(
            host(),
            own,
            RemoteSettings { control_key, pinned: pinned.to_vec(), ..RemoteSettings::default() },
        );
        let (sender, orders) = mpsc::channel();
        let sampling = remote.begin(sender);
        (remote, orders, sampling)
    }

    fn frame(&self, host: &HostName, after: i64, asked: &str) -> SignedFrame {
        SignedFrame::sign(Kind::Settings, host, after, asked.to_owned(), &self.key).unwrap()
    }
}

fn told(orders: &mpsc::Receiver<Order>) -> Option<Sampling> {
    match orders.try_recv() {
        Ok(Order::Sample(sampling)) => Some(*sampling),
        _ => None,
    }
}

#[test]
fn what_was_believed_is_in_force_and_kept_for_the_next_run() {
    let scene = Scene::new();
    let (remote, orders, sampling) = scene.remote(&[]);
    assert_eq!((sampling.enabled, sampling.revision), (true, None));
    let frame =
        scene.frame(&host(), 0, r#"{"interval_ms":500,"enabled":false,"exclude_names":["a"],"later":1}"#);
    remote.take(&frame.to_bytes());
    let sampling = told(&orders).unwrap();
    assert_eq!(sampling.settings.interval, Duration::from_millis(500));
    assert_eq!((sampling.enabled, &sampling.settings.exclude_names[..]), (false, &["a".to_owned()][..]));
    assert_eq!(remote.applied().borrow().revision, None, "the sampling thread has not done it yet");
    remote.confirm(&sampling);
    assert_eq!(remote.applied().borrow().revision, Some(frame.revision()));
    // Another thread writes the file.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !kept_in(scene.folder.path()).exists() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(scene.remote(&[]).2, sampling);
    let pinned = scene.remote(&[Setting::Enabled, Setting::ExcludeNames]).2;
    assert_eq!((pinned.enabled, pinned.settings.exclude_names.len()), (true, 0));
    assert_eq!(pinned.settings.interval, Duration::from_millis(500));
}

#[test]
fn what_is_replayed_for_another_host_forged_or_out_of_range_changes_nothing_and_is_said() {
    let scene = Scene::new();
    let (remote, orders, _) = scene.remote(&[]);
    let first = scene.frame(&host(), 0, r#"{"interval_ms":500}"#);
    let second = scene.frame(&host(), first.revision(), r#"{"interval_ms":700}"#);
    for frame in [&first, &second] {
        remote.take(&frame.to_bytes());
        assert!(told(&orders).is_some());
    }
    let forged = Scene { key: KeyPair::new_operator(), folder: tempfile::tempdir().unwrap() };
    let after = second.revision();
    for (frame, problem) in [
        (first, NotBelieved::Old),
        (scene.frame(&"web-02".parse().unwrap(), after, "{}"), NotBelieved::OtherHost),
        (forged.frame(&host(), after, "{}"), NotBelieved::OtherKey),
        (scene.frame(&host(), after, r#"{"interval_ms":1}"#), NotBelieved::Body),
        (scene.frame(&host(), after, "no JSON"), NotBelieved::Body),
    ] {
        remote.take(&frame.to_bytes());
        assert!(told(&orders).is_none(), "{problem}");
        assert_eq!(remote.applied().borrow().problem, Some(problem.to_string()));
    }
    // The one in force may come by two ways.
    remote.take(&second.to_bytes());
    assert!(told(&orders).is_none() && remote.applied().borrow().problem.is_none());
    remote.take(b"no frame");
    assert_eq!(remote.applied().borrow().problem, Some(NotBelieved::Shape.to_string()));
    remote.take(&scene.frame(&host(), after, "{}").to_bytes());
    assert!(told(&orders).is_some() && remote.applied().borrow().problem.is_none());
}

#[test]
fn a_host_without_a_control_key_believes_nothing() {
    let scene = Scene::new();
    let remote = Remote::new(host(), AgentSettings::default(), RemoteSettings::default());
    remote.take(&scene.frame(&host(), 0, "{}").to_bytes());
    remote.take_answer(Some(scene.frame(&host(), 0, "{}")));
    assert_eq!((remote.last_revision(), remote.is_controlled()), (0, false));
}

#[test]
fn what_the_host_itself_leaves_out_stays_left_out() {
    let own = AgentSettings { exclude_users: vec!["secret".to_owned()], ..AgentSettings::default() };
    let asked = AskedOfAgent { exclude_users: Some(vec!["a".to_owned()]), ..AskedOfAgent::default() };
    let sampling = effective(&own, &[], Some((asked, Some(1))));
    assert_eq!(sampling.settings.exclude_users, ["secret", "a"]);
    assert_eq!(effective(&own, &[], Some((AskedOfAgent::default(), Some(1)))).settings, own);
    assert_eq!(super::own(&own).into_iter().collect::<Vec<_>>(), [Setting::ExcludeUsers]);
}

#[test]
fn a_key_that_follows_the_pinned_one_is_trusted_and_then_no_older_one_any_more() {
    let scene = Scene::new();
    let file = scene.folder.path().join("control.nk");
    fleetps_nats::key::write(&scene.key, &file).unwrap();
    let between = ControlKey::rotate(&file).unwrap();
    let newer = ControlKey::rotate(&file).unwrap();
    let sign = |after| newer.sign(Kind::Settings, &host(), after, "{}".to_owned()).unwrap();
    let (remote, orders, _) = scene.remote(&[]);
    let old = scene.frame(&host(), 0, "{}");
    remote.take(&old.to_bytes());
    assert!(told(&orders).is_some());
    let first = sign(old.revision());
    remote.take(&first.to_bytes());
    assert!(told(&orders).is_some(), "{:?}", remote.applied().borrow().problem);
    let stolen = scene.frame(&host(), first.revision(), r#"{"enabled":false}"#);
    let refused = |remote: &Remote, orders: &mpsc::Receiver<Order>| {
        remote.take(&stolen.to_bytes());
        told(orders).is_none() && remote.applied().borrow().problem == Some(NotBelieved::OtherKey.to_string())
    };
    assert!(refused(&remote, &orders));

    // Another run, which the stolen key reaches before its sampling begins.
    let kept = || std::fs::read(kept_in(scene.folder.path())).ok() == Some(first.to_bytes());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !kept() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let settings = RemoteSettings { control_key: Some(scene.key.public_key()), ..RemoteSettings::default() };
    let own = AgentSettings { state: scene.folder.path().to_owned(), ..AgentSettings::default() };
    let next = Remote::new(host(), own, settings);
    next.take(&stolen.to_bytes());
    let wish = serde_json::to_string(&Watch::new(Duration::from_secs(1), Duration::from_secs(9))).unwrap();
    let watch = |key: &ControlKey| {
        key.sign(Kind::Watch, &host(), stolen.revision(), wish.clone()).unwrap().to_bytes()
    };
    next.take(&watch(&between));
    let pinned = scene.key.public_key();
    assert_eq!(next.0.trust.of(&pinned), pinned, "which key is trusted is not read yet");
    let (sender, orders) = mpsc::channel();
    assert_eq!(next.begin(sender).revision, Some(first.revision()));
    assert_eq!(next.applied().borrow().problem, Some(NotBelieved::OtherKey.to_string()));
    assert!(refused(&next, &orders));
    next.take(&watch(&between));
    assert!(orders.try_recv().is_err());
    next.take(&watch(&newer));
    assert!(matches!(orders.try_recv(), Ok(Order::Watch(_))));
    next.take(&sign(stolen.revision()).to_bytes());
    assert!(told(&orders).is_some() && next.applied().borrow().problem.is_none());
}
