//! Lines of `/proc/net/dev`.

use super::*;

#[test]
fn a_line_has_eight_figures_each_way() {
    let line = b"  eth0:926361199   70760    1    2    0     0          0         0  5442711   62671    3    4    0     0       0          0";
    let (name, counters) = parse(line).unwrap();
    assert_eq!((name.as_str(), counters), ("eth0", [926_361_199, 5_442_711, 70_760, 62_671, 1, 3, 2, 4]));
    let (name, _) = parse(b"eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
    assert_eq!(name, "eth0:1");
    for bad in [
        &b" face |bytes    packets errs drop"[..],
        b"eth0: 1 2 3",
        b"eth0: 1 2 3 4 5 6 7 8 9 10 11 x 13 14 15 16",
        b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        b"",
    ] {
        assert!(parse(bad).is_none());
    }
}
