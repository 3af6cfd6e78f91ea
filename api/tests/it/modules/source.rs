//! The imports and re-exports of one file.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::arrows::Module;

/// One file.
#[derive(Default)]
pub struct Source {
    /// Every path inside the crate that its code names, from the crate's root.
    pub paths: Vec<Module>,
    /// What it re-exports: the name, and the path behind it.
    pub reexports: BTreeMap<String, Module>,
    /// The modules that it re-exports whole.
    pub glob_reexports: Vec<Module>,
    /// The items that it defines itself.
    pub defines: BTreeSet<String>,
}

/// A `use` of one name.
struct Import {
    path: Module,
    name: String,
    is_public: bool,
}

impl Source {
    /// Reads the text of the file of `module`, in which `children` may be modules below it.
    pub fn read(text: &str, module: &Module, children: &BTreeSet<String>) -> Self {
        let tokens: TokenStream = text.parse().unwrap();
        let mut reader =
            Reader { module, children, imports: Vec::new(), code: Vec::new(), source: Self::default() };
        reader.items(tokens, 0);
        reader.finish()
    }
}

struct Reader<'a> {
    module: &'a Module,
    children: &'a BTreeSet<String>,
    imports: Vec<Import>,
    /// Every path in the code, as it is written there.
    code: Vec<(Vec<String>, usize)>,
    source: Source,
}

impl Reader<'_> {
    /// Reads the tokens of a file or of a block in it, `depth` inline modules deep.
    fn items(&mut self, tokens: TokenStream, depth: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut is_public = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_for_tests(tokens.get(at)) => {
                    at = end_of_item(&tokens, at);
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = end_of_item(&tokens, at);
                    self.import(&tokens[at..end - 1], &[], is_public, depth);
                    at = end;
                }
                TokenTree::Ident(ident) if ident == "mod" && is_block(tokens.get(at + 1)) => {
                    if let Some(TokenTree::Group(group)) = tokens.get(at + 1) {
                        self.items(group.stream(), depth + 1);
                    }
                    at += 2;
                }
                TokenTree::Ident(_) if !is_member(&tokens, at - 1) => {
                    let (path, end) = path_at(&tokens, at - 1);
                    if let Some(TokenTree::Ident(next)) = tokens.get(end)
                        && is_definition(&path[0])
                    {
                        self.source.defines.insert(next.to_string());
                    }
                    is_public = path[0] == "pub" || is_public && path[0] == "unsafe";
                    self.code.push((path, depth));
                    at = end;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.items(group.stream(), depth);
                    // `pub(crate)` is public here too.
                    is_public &= group.delimiter() == Delimiter::Parenthesis;
                    continue;
                }
                _ => {}
            }
            is_public = false;
        }
    }

    /// Reads what follows `use`, below the path `before`.
    fn import(&mut self, tokens: &[TokenTree], before: &[String], is_public: bool, depth: usize) {
        let (mut path, mut name) = (before.to_vec(), None);
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => {
                    name = tokens.get(at + 1).map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                TokenTree::Group(group) => {
                    let list: Vec<TokenTree> = group.stream().into_iter().collect();
                    let is_comma =
                        |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
                    for one in list.split(is_comma).filter(|one| !one.is_empty()) {
                        self.import(one, &path, is_public, depth);
                    }
                    return;
                }
                _ => {}
            }
        }
        path.pop_if(|last| last == "self" && !before.is_empty());
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        if let Some(path) = self.resolve(&path, depth) {
            self.imports.push(Import { path, name, is_public });
        }
    }

    /// A path as it is written, from the crate's root; `None` where it leads to another crate.
    fn resolve(&self, path: &[String], depth: usize) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([self.module.as_slice(), rest].concat()),
            "super" => {
                let supers = path.iter().take_while(|part| *part == "super").count();
                // In an inline module the first leads to the file itself.
                let up = supers.saturating_sub(depth).min(self.module.len());
                Some([&self.module[..self.module.len() - up], &path[supers..]].concat())
            }
            child if self.children.contains(child) => Some([self.module.as_slice(), path].concat()),
            _ => None,
        }
    }

    fn finish(mut self) -> Source {
        for (path, depth) in &self.code {
            let imported = self.imports.iter().find(|import| import.name == path[0]);
            let found = match imported {
                Some(import) => Some([import.path.as_slice(), &path[1..]].concat()),
                None if path.len() > 1 => self.resolve(path, *depth),
                None => None,
            };
            self.source.paths.extend(found);
        }
        for Import { path, name, is_public } in self.imports {
            match (is_public, name.as_str()) {
                (true, "*") => self.source.glob_reexports.push(path[..path.len() - 1].to_vec()),
                (true, _) => drop(self.source.reexports.insert(name, path)),
                (false, "*") => {}
                (false, _) => self.source.paths.push(path),
            }
        }
        self.source
    }
}

/// Whether an attribute says that what follows is for tests only.
fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    let text = attribute.map(|attribute| attribute.to_string().replace(' ', "")).unwrap_or_default();
    text.starts_with("[cfg(test)") || text.starts_with("[cfg(all(test,")
}

/// Where the item ends that begins at or after `at`: behind its semicolon or its block.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        token => is_block(Some(token)),
    };
    // The list of a `use` is in braces too, and a semicolon follows.
    let mut end = tokens[at..].iter().position(is_end).map_or(tokens.len(), |length| at + length + 1);
    if matches!(tokens.get(end), Some(TokenTree::Punct(punct)) if punct.as_char() == ';') {
        end += 1;
    }
    end
}

fn is_block(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

/// Whether the identifier there is a field, a method or a lifetime.
fn is_member(tokens: &[TokenTree], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    let is = |token: Option<&TokenTree>, wanted| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == wanted);
    is(before(1), '\'') || is(before(1), '.') && !is(before(2), '.')
}

/// The path that begins there, and where it ends.
fn path_at(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[at].to_string()];
    let is_colon =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    while is_colon(tokens.get(at + 1)) && is_colon(tokens.get(at + 2)) {
        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
        path.push(next.to_string());
        at += 3;
    }
    (path, at + 1)
}

fn is_definition(word: &str) -> bool {
    matches!(word, "struct" | "enum" | "fn" | "const" | "static" | "type" | "trait" | "union")
}
