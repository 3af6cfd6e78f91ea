//! Reads `/proc/self/mountinfo`: what is mounted, where, on top of what.

use std::collections::HashMap;

use super::bytes::{fields, lines, number, text};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    id: u64,
    parent: u64,
    /// The device's major and minor number, as in "259:2".
    pub(super) device_number: String,
    /// The folder of the file system that is mounted: "/" but for bind mounts and subvolumes.
    pub(super) root: Vec<u8>,
    /// Where it is mounted.
    pub(super) point: Vec<u8>,
    /// As in "ext4".
    pub(super) kind: String,
    /// As in "/dev/sda1", "nas:/export" or "tmpfs".
    pub(super) source: String,
}

impl Mount {
    /// Whether it is the first mount of all, which stands on itself.
    fn is_first(&self) -> bool {
        self.id == self.parent
    }
}

/// The mounts that a path leads to: none that another one hides.
pub(super) fn visible_mounts(mountinfo: &[u8]) -> Vec<Mount> {
    let mounts: Vec<Mount> = lines(mountinfo).filter_map(parse).collect();
    // Where the kernel lists two for one place, paths lead to the later one.
    let places = mounts.iter().enumerate().filter(|(_, mount)| !mount.is_first());
    let on_top: HashMap<(u64, &[u8]), usize> =
        places.map(|(place, mount)| ((mount.parent, mount.point.as_slice()), place)).collect();
    let by_id: HashMap<u64, &Mount> = mounts.iter().map(|mount| (mount.id, mount)).collect();
    let is_visible =
        |(place, mount): &(usize, &Mount)| reached(mount, &mounts, &on_top, &by_id) == Some(*place);
    mounts.iter().enumerate().filter(is_visible).map(|(_, mount)| mount.clone()).collect()
}

/// The place in the list of the mount that the path of `mount` leads to.
fn reached(
    mount: &Mount,
    mounts: &[Mount],
    on_top: &HashMap<(u64, &[u8]), usize>,
    by_id: &HashMap<u64, &Mount>,
) -> Option<usize> {
    // What carries the root folder is outside the list; after chroot that may be the root's own file system as well.
    let mut bottom = mount;
    let mut steps = 0;
    while let Some(parent) = by_id.get(&bottom.parent).filter(|_| !bottom.is_first()) {
        bottom = parent;
        steps += 1;
        // Parents in a circle: not a list of this kernel.
        if steps > mounts.len() {
            return None;
        }
    }
    let first = mounts.iter().position(|mount| mount.is_first() && mount.id == bottom.id);
    let (mut current, mut found) = (bottom.parent, first);
    for end in ends_of_parts(&mount.point) {
        let mut stacked = 0;
        while let Some(place) = on_top.get(&(current, &mount.point[..end])) {
            (current, found) = (mounts[*place].id, Some(*place));
            stacked += 1;
            if stacked > mounts.len() {
                return None;
            }
        }
    }
    found
}

/// Where the leading folders of a path end: "/a/b" has "/", "/a" and "/a/b".
fn ends_of_parts(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let whole = (path.len() > 1).then_some(path.len());
    std::iter::once(1.min(path.len())).chain(slashes).chain(whole)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: any number of optional fields
/// before the dash.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut all = fields(line);
    let (id, parent) = (number(all.next()?)?, number(all.next()?)?);
    let device_number = text(all.next()?);
    let (root, point) = (unescaped(all.next()?), unescaped(all.next()?));
    let _options = all.next()?;
    all.find(|field| *field == b"-")?;
    let kind = text(&unescaped(all.next()?));
    // An empty source is written as nothing at all between two spaces, and the last field follows.
    let after_dash = line.windows(3).position(|three| three == b" - ")? + 3;
    let mut after = line.get(after_dash..)?.split(|byte| *byte == b' ');
    let source = text(&unescaped(after.nth(1).unwrap_or_default()));
    (point.first() == Some(&b'/')).then_some(Mount { id, parent, device_number, root, point, kind, source })
}

/// The kernel writes space, tab, line break, backslash and `#` as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\').then(|| after.get(..3).and_then(octal)).flatten();
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(mountinfo: &[u8]) -> Vec<String> {
        visible_mounts(mountinfo).iter().map(|mount| text(&mount.point)).collect()
    }

    #[test]
    fn a_line_is_read_with_any_number_of_optional_fields_and_octal_escapes() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\134x\\012y rw,noatime master:1 shared:7 - fuse.sshfs me@host:/a\\040b rw\n";
        let mounts = visible_mounts(line);
        let mount = &mounts[0];
        assert_eq!((mount.root.as_slice(), mount.point.as_slice()), (&b"/mnt1"[..], &b"/mnt 2\\x\ny"[..]));
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("fuse.sshfs", "me@host:/a b"));
        assert_eq!(visible_mounts(b"36 35 98:0 / /mnt rw - tmpfs  rw\n")[0].source, "");
        assert_eq!(unescaped(b"\\04\\999\\"), b"\\04\\999\\");
    }

    #[test]
    fn a_bad_line_loses_that_line_only() {
        let mut text = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n".to_vec();
        for bad in [
            &b"x"[..],
            b"28 27",
            b"28 27 0:1 / relative rw - a b c",
            b"-1 27 0:1 / /x rw - a b c",
            b"\xff\xfe",
        ] {
            text.extend(bad);
            text.push(b'\n');
        }
        text.extend(vec![b'z'; 10_000]);
        text.extend(b"\n29 27 0:5 / /caf\xe9 rw - tmpfs tmpfs rw\n30 27 0:6 / /");
        text.extend(vec![b'y'; 10_000]);
        text.extend(b" rw - tmpfs tmpfs rw\n");
        let found = points(&text);
        assert_eq!(found.len(), 3);
        assert_eq!(&found[..2], ["/", "/caf\u{fffd}"]);
    }

    #[test]
    fn what_another_mount_hides_is_left_out() {
        let text = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 27 8:1 / /data rw - ext4 /dev/sda1 rw\n\
            31 30 8:2 / /data/inner rw - ext4 /dev/sda2 rw\n\
            32 30 8:3 / /data rw - ext4 /dev/sda3 rw\n\
            33 32 8:4 / /data/other rw - ext4 /dev/sda4 rw\n\
            34 27 8:5 / /srv/a rw - ext4 /dev/sda5 rw\n\
            35 27 8:6 / /srv rw - ext4 /dev/sda6 rw\n";
        assert_eq!(points(text), ["/", "/data", "/data/other", "/srv"]);
        assert_eq!(visible_mounts(text)[1].source, "/dev/sda3");
    }

    #[test]
    fn a_root_that_was_mounted_over_and_one_after_chroot_are_found() {
        let over = b"1 0 0:1 / / rw - rootfs rootfs rw\n20 1 0:20 / / rw - overlay overlay rw\n\
            21 20 0:21 / /tmp rw - tmpfs tmpfs rw\n";
        let mounts = visible_mounts(over);
        assert_eq!(mounts.iter().map(|mount| mount.kind.as_str()).collect::<Vec<_>>(), ["overlay", "tmpfs"]);
        assert_eq!(
            points(b"40 27 0:40 / /proc rw - proc proc rw\n41 27 8:1 / /home rw - ext4 /dev/sda1 rw\n"),
            ["/proc", "/home"]
        );
    }

    #[test]
    fn the_first_mount_of_all_stands_on_itself() {
        let text = b"1 1 0:2 / / rw - rootfs rootfs rw\n2 1 0:3 / /proc rw - proc proc rw\n";
        assert_eq!(points(text), ["/", "/proc"]);
        let over = b"1 1 0:2 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            3 2 0:3 / /proc rw - proc proc rw\n";
        assert_eq!(visible_mounts(over)[0].kind, "ext4");
        assert_eq!(points(over), ["/", "/proc"]);
    }

    #[test]
    fn a_list_whose_parents_form_a_circle_ends() {
        assert!(
            points(b"1 2 0:1 / /a rw - x x rw\n2 1 0:1 / /a rw - x x rw\n3 3 0:1 / / rw - x x rw\n").len()
                <= 1
        );
    }
}
