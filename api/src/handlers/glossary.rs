//! What the words and figures on pages mean: `docs/glossary.md` as a page.

use askama::Template;
use axum::response::Response;

use super::page::{self, Layout};
use crate::{display::sentence, refusal::Refusal};

/// The text: headings, and items that begin with their term.
const TEXT: &str = include_str!("../../../docs/glossary.md");

/// A part of the glossary: its heading, and its terms with their meanings.
type Part = (&'static str, Vec<(&'static str, String)>);

/// The page.
#[derive(Template)]
#[template(path = "glossary.html")]
struct GlossaryPage {
    layout: Layout,
    parts: Vec<Part>,
}

/// The page.
pub(crate) async fn page(layout: Layout) -> Result<Response, Refusal> {
    page::render(&GlossaryPage { layout, parts: parts() })
}

fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in TEXT.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            parts.push((heading, Vec::new()));
        }
        let term = line.strip_prefix("- **").and_then(|item| item.split_once("**: "));
        if let (Some((term, meaning)), Some((_, terms))) = (term, parts.last_mut()) {
            terms.push((term, sentence(meaning)));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_text_is_a_term() {
        let terms: usize = parts().iter().map(|(_, terms)| terms.len()).sum();
        assert_eq!(terms, TEXT.lines().filter(|line| line.starts_with("- ")).count());
        assert!(terms > 20 && parts().iter().all(|(_, terms)| !terms.is_empty()));
    }
}
