//! Tables as a page shows them: every text is final, so rendering and comparing use the same.

use std::collections::HashMap;

use askama::Template;

use crate::url::Url;

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name in the page.
    pub id: &'static str,
    /// Whether its rows are a tree.
    pub is_tree: bool,
    /// Its columns.
    pub heads: Vec<Head>,
    /// What the figures of some columns are, by the column's class: tooltips where a name does not say it.
    pub titles: &'static [(&'static str, &'static str)],
    /// Its rows, in order.
    pub rows: Vec<Row>,
    /// The link to more rows, when not all are shown.
    pub more: Option<Link>,
}

/// A link with a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The address it leads to.
    pub href: Url,
    /// Its text.
    pub text: String,
}

/// The head of a column.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The column's class: its width, alignment and hue.
    pub column: &'static str,
    /// Its name.
    pub text: &'static str,
    /// Its unit, beside the name.
    pub unit: &'static str,
    /// The page sorted by it, where that is possible.
    pub href: Option<Url>,
    /// How the page is sorted by it now: `ascending` or `descending`.
    pub sorted: Option<&'static str>,
}

/// A row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "parts/row.html")]
pub struct Row {
    /// Names the row in the page; the same thing has the same name in every sample.
    pub id: String,
    /// `dim` for rows that are only there to show where others hang.
    pub class: &'static str,
    /// Its place in a tree.
    pub place: Option<Place>,
    /// Its cells, one for each column.
    pub cells: Vec<Cell>,
}

/// A row's place in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// 1 for a root.
    pub level: usize,
    /// How many siblings it has, with itself.
    pub set_size: usize,
    /// Its number among them, from 1.
    pub position: usize,
    /// The link that expands or collapses it, if it has children.
    pub toggle: Option<Toggle>,
}

/// Expands or collapses a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toggle {
    /// Whether it is expanded now.
    pub expanded: bool,
    /// The page with it the other way.
    pub href: Url,
}

/// A cell, or a field outside a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// The column's class.
    pub column: &'static str,
    /// The shade's class, or a state's.
    pub shade: &'static str,
    /// The text.
    pub text: String,
    /// A secondary fact beside it.
    pub note: String,
    /// Where the text leads.
    pub href: Option<Url>,
    /// The text in full, when it was cut.
    pub title: Option<String>,
    /// The exact time behind a text such as "3 s"; open pages keep that text up to date themselves.
    pub time: Option<String>,
    /// The SVG path of a sparkline of an hour, which is shown instead of the text; that is its title then.
    pub outline: Option<String>,
}

/// A row's HTML is inserted into pages and patches unescaped: its own template has escaped its texts.
impl askama::filters::HtmlSafe for Row {}

/// How deep the indentation goes: a row deeper than this is drawn at this depth.
const DEEPEST_INDENT: usize = 24;

impl Table {
    /// The tooltip of a column; empty where there is none.
    pub fn title_of(&self, head: &Head) -> &'static str {
        self.titles.iter().find(|(column, _)| *column == head.column).map_or("", |(_, title)| title)
    }

    /// Puts the rows back into the order of `before`, new ones last; whether that was another order.
    pub fn keep_order(&mut self, before: &Self) -> bool {
        let places: HashMap<&str, usize> =
            before.rows.iter().enumerate().map(|(place, row)| (row.id.as_str(), place)).collect();
        let place = |row: &Row| places.get(row.id.as_str()).copied().unwrap_or(usize::MAX);
        let in_order = self.rows.is_sorted_by_key(place);
        if !in_order {
            self.rows.sort_by_key(place);
        }
        !in_order
    }
}

impl Place {
    /// The depth it is drawn at.
    pub fn indent(&self) -> usize {
        self.level.min(DEEPEST_INDENT)
    }
}

impl Cell {
    /// A cell of `column`.
    pub fn new(column: &'static str, text: impl Into<String>) -> Self {
        Self { column, text: text.into(), ..Self::default() }
    }

    /// A field outside a table.
    pub fn field(text: impl Into<String>) -> Self {
        Self::new("", text)
    }

    /// With this shade.
    pub fn shaded(self, shade: &'static str) -> Self {
        Self { shade, ..self }
    }

    /// With a note.
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// As a link.
    pub fn linked(self, href: Url) -> Self {
        Self { href: Some(href), ..self }
    }

    /// With a sparkline.
    pub fn drawn(self, outline: String) -> Self {
        Self { outline: Some(outline), ..self }
    }

    /// A moment; as a link, it is shown as such in the reader's zone, and not as an age.
    pub fn moment(column: &'static str, time_us: i64) -> Self {
        let time = Some(crate::display::time_exact(time_us));
        Self { time, ..Self::new(column, crate::display::time(time_us)) }
    }

    /// The time since `time_us`, as of `now_us`.
    pub fn since(column: &'static str, time_us: i64, now_us: i64) -> Self {
        let seconds = now_us.saturating_sub(time_us) / 1_000_000;
        let time = Some(crate::display::time_exact(time_us));
        Self { time, ..Self::new(column, crate::display::duration(seconds)) }
    }

    /// A string from a host, made visible and at most `most` characters of it, the rest in the title.
    pub fn hostile(column: &'static str, text: &str, most: usize) -> Self {
        let shown = crate::display::visible(text);
        match crate::display::cut(&shown, most) {
            std::borrow::Cow::Borrowed(whole) => Self::new(column, whole),
            std::borrow::Cow::Owned(cut) => {
                Self { title: Some(shown.clone().into_owned()), ..Self::new(column, cut) }
            }
        }
    }

    /// Whether an open page can turn the one into the other by changing texts and classes.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.column == other.column
            && self.href == other.href
            && self.note.is_empty() == other.note.is_empty()
            && self.title == other.title
            && self.time.is_some() == other.time.is_some()
            && self.outline.is_some() == other.outline.is_some()
    }

    /// Whether they say the same. The text of a time is left to the page.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.shade == other.shade
            && self.note == other.note
            && self.href == other.href
            && self.outline == other.outline
            && if self.time.is_some() { self.time == other.time } else { self.text == other.text }
    }
}
