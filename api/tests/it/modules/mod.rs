//! No two modules import each other, in any crate.
//!
//! The rule: a module is a file with the folder below it. In each folder, the modules side by side form no circle, directly
//! or through others. A folder's own file (`mod.rs`, or `lib.rs` at the top) is no neighbour of the files below it: it may
//! use them, and they may use what it defines for all of them, such as an error.
//!
//! `arrows` says what counts as an import.

mod arrows;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use arrows::{Arrows, arrows_of};

/// Modules side by side that still import each other, by crate and folder: to be mended and removed from here, never added
/// to.
const KNOWN: [(&str, &str, &[&str]); 0] = [];

const CRATES: [&str; 4] = ["nats", "agent", "ingestor", "api"];

#[test]
fn no_modules_side_by_side_import_each_other_in_a_circle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for name in CRATES {
        let arrows = arrows_of(&workspace.join(name));
        assert!(
            arrows.len() > 10,
            "only {} files of {name} import anything: they were not read",
            arrows.len()
        );
        for (folder, side_by_side) in by_folder(&arrows) {
            for circle in circles(&side_by_side) {
                let is_known = KNOWN.iter().any(|(of, at, known)| {
                    (*of, *at) == (name, &folder) && circle.iter().all(|module| known.contains(&&**module))
                });
                if !is_known {
                    found.push(in_words(name, &folder, &circle, &side_by_side));
                }
            }
        }
    }
    assert!(found.is_empty(), "modules import each other:\n{}", found.join("\n"));
}

#[test]
fn an_import_is_found_however_it_is_written_and_a_reexport_is_followed() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::{self, deep::Item as Other};\nfn f() { b::g(Other); }"),
        ("b/mod.rs", "mod deep;\npub use deep::Item;\npub fn g(_: impl Sized) {}"),
        (
            "b/deep.rs",
            "use super::g;\npub struct Item; // crate::e::Comment\nfn f() { g(\"crate::e::Text\") }",
        ),
        (
            "c.rs",
            "fn f() { macro_call!(crate::d::value()); }\n#[cfg(test)]\nmod tests { use crate::e::Tested; }",
        ),
        ("d.rs", "use crate::b::Item;\npub fn value() -> Item { super::c::other() }"),
        ("e.rs", "mod inner { use super::Own; use super::super::a::Outer; }\nstruct Own;"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join("src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let arrows = arrows_of(folder.path());
    let found: Vec<(&str, Vec<&str>)> =
        arrows.iter().map(|(from, to)| (from.as_str(), to.keys().map(String::as_str).collect())).collect();
    let expected = [
        ("a", vec!["b", "b/deep"]),
        ("b/deep", vec!["b"]),
        ("c", vec!["d"]),
        ("d", vec!["b/deep", "c"]),
        ("e", vec!["a"]),
    ];
    assert_eq!(found, expected);
    let all: Vec<_> = by_folder(&arrows).values().flat_map(circles).collect();
    assert_eq!(all, [BTreeSet::from(["c".to_owned(), "d".to_owned()])]);
}

/// The arrows between modules side by side, by the folder that they are in.
fn by_folder(arrows: &Arrows) -> BTreeMap<String, Arrows> {
    let mut folders: BTreeMap<String, Arrows> = BTreeMap::new();
    for (from, imported) in arrows {
        for (to, names) in imported {
            let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
            let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            // Of a file and one in the folder below it, neither is beside the other.
            let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) else { continue };
            if *one == arrows::ROOT || *other == arrows::ROOT {
                continue;
            }
            let beside = folders.entry(from[..shared].join("/")).or_default();
            let taken = beside.entry((*one).to_owned()).or_default().entry((*other).to_owned()).or_default();
            taken.extend(
                names.iter().map(|name| format!("{} takes {name} from {}", from.join("/"), to.join("/"))),
            );
        }
    }
    folders
}

/// Groups of modules that all import each other, directly or through others of the group.
fn circles(arrows: &Arrows) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|module| (module.as_str(), reached_from(module, arrows))).collect();
    let mut circles = BTreeSet::new();
    for (module, others) in reached.iter().filter(|(module, others)| others.contains(*module)) {
        let leads_back = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(module));
        circles.insert(others.iter().filter(leads_back).map(|other| (*other).to_owned()).collect());
    }
    circles
}

fn reached_from<'a>(module: &str, arrows: &'a Arrows) -> BTreeSet<&'a str> {
    let imported = |module: &str| arrows.get(module).into_iter().flat_map(BTreeMap::keys).map(String::as_str);
    let (mut reached, mut open) = (BTreeSet::new(), imported(module).collect::<Vec<_>>());
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imported(next));
        }
    }
    reached
}

/// Which imports make a circle.
fn in_words(name: &str, folder: &str, circle: &BTreeSet<String>, arrows: &Arrows) -> String {
    let within = |module: &str| circle.contains(module);
    let imported = arrows.iter().filter(|(from, _)| within(from)).flat_map(|(_, imported)| imported);
    let takes = imported.filter(|(to, _)| within(to)).flat_map(|(_, names)| names);
    let takes: Vec<String> = takes.map(|take| format!("  {take}")).collect();
    format!(
        "in {name}/src/{folder}: {}\n{}",
        circle.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        takes.join("\n")
    )
}
