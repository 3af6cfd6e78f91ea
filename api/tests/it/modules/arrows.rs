//! Which file imports which, read from the source text of one crate.
//!
//! An arrow goes from the file that names an item to the file that defines it, be it in a `use` or in the code:
//! - A re-export (`pub use child::Item`) is followed to the definition. It is an arrow only where its own file also names
//!   the item.
//! - Declaring a module (`mod child;`) and importing a module as a whole are no arrows; `module::item` then is one.
//! - Code for tests and templates is not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::source::Source;

/// The path of a module inside its crate; empty for the crate's root.
pub type Module = Vec<String>;

/// The arrows of one crate: the importing file, the imported file, and the names that it takes.
pub type Arrows = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What the crate's root is called.
pub const ROOT: &str = "lib";

/// Re-exports of re-exports that are followed: more is a loop, which rustc refuses.
const MAX_REEXPORTS: usize = 8;

/// The arrows between the files below `crate_folder/src`, by paths below it without `.rs`.
pub fn arrows_of(crate_folder: &Path) -> Arrows {
    let mut files = Files::default();
    files.read(&crate_folder.join("src"), &mut Vec::new());
    let mut arrows = Arrows::new();
    for (module, source) in &files.0 {
        for path in &source.paths {
            let Some(definer) = files.definer(path, MAX_REEXPORTS).filter(|definer| definer != module) else {
                continue;
            };
            let to = arrows.entry(files.name(module)).or_default().entry(files.name(&definer)).or_default();
            to.insert(path.last().cloned().unwrap_or_default());
        }
    }
    arrows
}

/// Every file of a crate, by its module.
#[derive(Default)]
struct Files(BTreeMap<Module, Source>);

impl Files {
    /// Reads a folder and those below it. Programs (`main.rs`) are crates of their own, and import only the library.
    fn read(&mut self, folder: &Path, module: &mut Module) {
        let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let children: BTreeSet<String> = entries.iter().map(|path| stem(path)).collect();
        for path in &entries {
            let stem = stem(path);
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() {
                module.push(stem);
                self.read(path, module);
                module.pop();
            } else if is_source && !stem.ends_with("tests") && stem != "main" {
                let is_root = matches!(stem.as_str(), "lib" | "mod");
                let path_of = if is_root { module.clone() } else { [module.as_slice(), &[stem]].concat() };
                let children = if is_root { children.clone() } else { BTreeSet::new() };
                let text = fs::read_to_string(path).unwrap();
                self.0.insert(path_of.clone(), Source::read(&text, &path_of, &children));
            }
        }
    }

    /// The module that defines what `path` names; `None` where that is a module as a whole.
    fn definer(&self, path: &[String], reexports: usize) -> Option<Module> {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
        let (module, source) = (&path[..depth], &self.0[&path[..depth]]);
        let (name, rest) = path[depth..].split_first()?;
        let next = reexports.checked_sub(1)?;
        if let Some(from) = source.reexports.get(name) {
            return self.definer(&[from.as_slice(), rest].concat(), next);
        }
        let of_glob = |glob: &&Module| self.0.get(*glob).is_some_and(|source| source.defines.contains(name));
        match source.glob_reexports.iter().find(of_glob) {
            Some(glob) => Some(glob.clone()),
            None => Some(module.to_vec()),
        }
    }

    fn name(&self, module: &Module) -> String {
        if module.is_empty() { ROOT.to_owned() } else { module.join("/") }
    }
}
